"""The state and health of GPUs, judged from readings and Xid errors."""
