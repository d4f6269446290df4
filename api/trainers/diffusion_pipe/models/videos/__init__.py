"""Model types that train videos."""
