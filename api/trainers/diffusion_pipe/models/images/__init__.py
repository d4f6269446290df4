"""Model types that train pictures."""
