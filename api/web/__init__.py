"""What every request passes around its route: protocol, gate, bodies, idempotency, OpenAPI parts, the page's files."""
