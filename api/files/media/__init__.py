"""Media files, decoded in separate processes: their facts, thumbnails, and the pixels that a trainer uses.

The service calls `decoder`; the other modules run in its child processes.
"""
