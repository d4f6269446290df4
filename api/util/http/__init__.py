"""Requests and responses: bounds, pages, validation, the envelope."""
