"""Logs: read, searched, followed and downloaded. Entered through `service`."""
