"""The library of saved models."""
