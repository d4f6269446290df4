"""Metrics of the process, traces, and the transport of deliveries."""
