"""Follow running attempts: their log, progress and series."""
