"""The queue: which task starts when, on which GPUs, and why the others wait."""
