"""Values about samples."""
