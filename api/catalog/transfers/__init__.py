"""Downloads of models, and pushes to a hub."""
