"""Monitor, judge, show and offer GPUs, and record their holders. The entry point is `service`."""
