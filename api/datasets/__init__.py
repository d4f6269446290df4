"""Datasets: what is in them, who may see them, and what tasks take of them. `service` is the way in."""
