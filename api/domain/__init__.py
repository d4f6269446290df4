"""Frozen dataclasses and enums: the words of the service, without I/O."""
