"""The trainer's configuration: keys, documents, files."""
