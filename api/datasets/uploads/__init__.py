"""Uploads, and what becomes of them."""
