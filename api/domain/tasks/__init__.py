"""Values about tasks and trainings."""
