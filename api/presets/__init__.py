"""Presets that users save: the settings of a training under a name, for its owner or for all users."""
