"""Start, observe, stop and adopt attempts."""
