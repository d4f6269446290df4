"""The end of an idle rented machine."""
