"""Attempts of trainings: started, watched, stopped and ended. Entered through `reconciler`."""
