"""Values about base models and weight files."""
