"""Reads, searches, follows and downloads logs. The entry point is `service`."""
