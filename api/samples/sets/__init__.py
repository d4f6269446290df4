"""Sample sets and workflows that users save and share."""
