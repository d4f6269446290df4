"""The program that writes trainings to experiment trackers: one backend for each library, imported only in there."""
