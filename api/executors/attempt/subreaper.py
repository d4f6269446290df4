"""What a supervisor asks of the kernel before it begins, because the calls need more memory than all the rest."""

from __future__ import annotations

import ctypes
import os

from .files import complain

PR_SET_CHILD_SUBREAPER = 36
IN_MODIFY, IN_MOVED_TO = 0x2, 0x80


def become_subreaper() -> None:
    """Makes orphans among this process's descendants its children, even after it executes another program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        complain(f"orphans will not come here: {os.strerror(ctypes.get_errno())}")


def watch(directory: str) -> int:
    """An inotify handle, readable when the directory changes, which an executed program inherits; -1 without one."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK)
    if handle >= 0 and libc.inotify_add_watch(handle, os.fsencode(directory), IN_MODIFY | IN_MOVED_TO) < 0:
        os.close(handle)
        handle = -1
    if handle < 0:
        complain(f"the output will be looked for instead of waited for: {os.strerror(ctypes.get_errno())}")
    return int(handle)
