"""A guided walk over HTTP."""
