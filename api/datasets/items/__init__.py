"""The items of versions and their media."""
