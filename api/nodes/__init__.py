"""Machines: what each tells of its GPUs, whether it is heard, and whether anything new may start there.

Entered through `service`; a node's own side is `reporter`, and `wire` is what they say to each other.
"""
