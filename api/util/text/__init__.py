"""Texts: formats, masks, names, parsers."""
