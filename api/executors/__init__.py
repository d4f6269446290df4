"""Start, watch, stop and adopt attempts."""
