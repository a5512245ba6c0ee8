"""The network as it runs here: a process per row, in turn with a baseline.

`measure` makes the rows, `bench_report` prints them, `bench_plot` draws them, `starts` times
starting.
"""
