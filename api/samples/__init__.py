"""Samples: pictures and clips that saved models and library models make, and how they are rendered and shown."""
