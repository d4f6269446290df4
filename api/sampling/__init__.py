"""Sample sets and workflows: with which prompts, settings and nodes samples of saved models are rendered."""
