"""Read, search, follow and download logs. The entry point is `service`."""
