"""Values about alerts and channels."""
