"""What a supervisor asks of the kernel before it begins."""

from __future__ import annotations

import ctypes
import os

from .files import complain

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Has orphans among its descendants become its children; that holds for what it executes, too."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        complain(f"orphans will not come here: {os.strerror(ctypes.get_errno())}")
