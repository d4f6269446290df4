"""Base models: the model types with their local files, and presets."""
