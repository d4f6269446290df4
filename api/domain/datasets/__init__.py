"""Values about datasets and media."""
