"""The best configuration of the network that keeps a budget of time on this machine.

`search` tries, `tune_report` prints, `tune_plot` draws, `params_file` writes the node's file.
"""
