"""What the trainer's 24 model types are made of, with the source of each figure; and settings that are known to work.

By the trainer's documentation, examples, code and issues at commit 8f83dbf, and the repositories' file pages.
"""
