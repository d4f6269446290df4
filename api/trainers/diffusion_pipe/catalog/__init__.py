"""The components of the trainer's model types, with the source of each figure, and presets known to work.

From the trainer's documentation, examples, code and issues at commit 8f83dbf, and the repositories' file pages.
"""
