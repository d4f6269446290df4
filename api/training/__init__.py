"""Trainings: checked, queued, scheduled, shown and controlled. Entered through `service`."""
