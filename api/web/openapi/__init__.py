"""Completion of the OpenAPI document."""
