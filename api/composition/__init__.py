"""The composition root: every part is built once here, started, and stopped in reverse; one module a noun."""
