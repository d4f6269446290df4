"""Kernel settings of a supervisor, made before it starts because the calls need ctypes and so much memory."""

from __future__ import annotations

import ctypes
import os

from .small_files import complain

PR_SET_CHILD_SUBREAPER = 36
IN_MODIFY, IN_MOVED_TO = 0x2, 0x80


def become_subreaper() -> None:
    """Make this process the parent of orphaned descendants, even after it executes another program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        complain(f"orphaned processes cannot be adopted: {os.strerror(ctypes.get_errno())}")


def watch(directory: str) -> int:
    """Return an inotify handle for changes in the directory, inherited by an executed program; -1 if unavailable."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK)
    if handle >= 0 and libc.inotify_add_watch(handle, os.fsencode(directory), IN_MODIFY | IN_MOVED_TO) < 0:
        os.close(handle)
        handle = -1
    if handle < 0:
        complain(f"the output is polled, because inotify is not available: {os.strerror(ctypes.get_errno())}")
    return int(handle)
