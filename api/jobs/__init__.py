"""Background jobs (preprocessing, captions, downloads, pushes) as own programs under a supervisor.

Others import each job's `trainer`, `wish` and `progress` modules.
"""
