"""Captions that a vision model generates."""
