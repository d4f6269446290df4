"""Trainers: how the service checks requests for them, starts them and reads their output."""
