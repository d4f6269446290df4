"""The service with the real NVML binding and a fake library, in every case of failure."""
