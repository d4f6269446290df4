"""Nodes: the reports on their GPUs, their states, and draining.

The head's side is `service`, the node's side is `reporter`, and `wire` has the form of reports.
"""
