"""Power limits of GPUs, and the energy that tasks use."""
