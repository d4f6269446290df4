"""Trainings in experiment trackers (W&B, MLflow, Trackio), written by the service and not by the trainer.

`sender` decides what is sent, `tracker` has the Protocol, its fake and the process that uses a tracker's library.
"""
