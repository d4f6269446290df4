"""Pushes of models to a hub as work under a supervisor: `trainer` is what starts it, `program` is what runs."""
