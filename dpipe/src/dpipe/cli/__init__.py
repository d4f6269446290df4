"""The command line `dpipe`."""

from dpipe.cli.commands import app, main

__all__ = ["app", "main"]
