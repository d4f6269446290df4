"""Preprocessing as work of the same kind as a training: a program under a supervisor. `trainer` is the way in."""
