"""Background jobs (downloads, pushes, exports, preprocessing, captions), each a program under a supervisor.

`kinds` lists them, `trainer` starts and follows them, `program` is their base, and `messages` is how they report.
"""
