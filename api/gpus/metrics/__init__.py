"""The GPU metrics of /metrics."""
