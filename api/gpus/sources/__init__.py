"""Sources of readings: NVML, a simulation, the host."""
