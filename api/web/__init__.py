"""The HTTP layer around the routes: protocol, authentication, request bodies, idempotency, and the page's files."""
