"""The schedule: the weekly windows in which trainings may run."""
