"""The best configuration of the network that keeps a budget of time on this machine.

`search` tries, `report` prints and draws, `params_file` writes what the node takes.
"""
