"""NVML by the real binding, against a stand-in library: what the service makes of every failure."""
