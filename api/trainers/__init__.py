"""What a trainer is told, and what its output means."""
