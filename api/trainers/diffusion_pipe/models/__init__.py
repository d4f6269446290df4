"""The model types: one module each in `images` and `videos`, and the tables that derive from them.

Facts are from the trainer's documentation, examples, code and issues at commit 8f83dbf, and the hubs' file pages.
"""
