"""The trainer's caches, built in advance."""
