"""The plan of a training."""
