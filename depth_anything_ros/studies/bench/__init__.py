"""The network as it runs here: a process per row, in turn with a baseline.

`measure` gives the rows, `report` prints them, `plot` draws them, `starts` times starting.
"""
