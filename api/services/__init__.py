"""Use cases: what the routes offer, free of HTTP."""
