"""What requests may hold and what answers look like, one module a noun."""
