"""Access to files that others write, and paths."""
