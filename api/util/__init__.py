"""Helpers that several packages use: clock, ids, safe file access, periodic threads, bounded HTTP."""
