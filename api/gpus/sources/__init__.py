"""Where readings come from: NVML, a simulation, the host."""
