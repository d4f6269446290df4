"""Background jobs: downloads, pushes, preprocessing and captions, each a program of the service under a supervisor.

`kinds` lists them, `trainer` starts and follows them, `program` is their base, and `messages` is how they report.
"""
