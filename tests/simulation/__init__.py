"""A deterministic simulation of the control plane: time, processes, faults and chance come from a seed."""
