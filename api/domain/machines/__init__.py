"""Values about GPUs and machines."""
