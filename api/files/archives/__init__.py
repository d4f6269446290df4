"""Untrusted archives: `expander` unpacks them in a separate process, with checked names and enforced limits."""
