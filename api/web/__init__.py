"""What every request passes before a route sees it: protocol, guard, ready documents, access log."""
