"""Marks by which every process of an attempt is recognised, whatever its parents are.

An environment variable contains the uid, but a process can empty its environment. A soft limit survives fork, setsid
and exec: the limit of real-time CPU, which no trainer uses. It is set to a hash of the attempt's uid, far above any
real use.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

from .small_files import complain, read_file

MARKER = "DPIPE_ATTEMPT_UID"  #: the environment variable

_LIMIT_LINE = b"Max realtime timeout"
_BEYOND_USE = 2**61  # microseconds


class ProcessMark:
    """The marks of one attempt."""

    def __init__(self, uid: str) -> None:
        self._variable = b"\0" + os.fsencode(f"{MARKER}={uid}") + b"\0"
        self.limit = limit_of(uid)

    def is_on(self, pid: int) -> bool:
        """Return whether the process with this pid, or a zombie, carries one of the marks."""
        try:
            if self._variable in b"\0" + read_file(f"/proc/{pid}/environ") + b"\0":
                return True
        except OSError:
            pass  # environments of other users are not readable, but their limits are
        return read_limit(pid) == self.limit

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Mark every process started in the `with` block; only by the variable if the limit cannot be set."""
        soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        try:
            resource.setrlimit(resource.RLIMIT_RTTIME, (self.limit, hard))
        except (OSError, ValueError) as error:
            complain(f"the processes cannot be marked by a limit: {error}")
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))


def limit_of(uid: str) -> int:
    """Return the soft limit that identifies the processes of this attempt."""
    return _BEYOND_USE + hash_of(uid) % _BEYOND_USE


def hash_of(text: str) -> int:
    """Return a stable 64-bit hash of the text."""
    figure = 0xCBF29CE484222325  # FNV-1a
    for byte in os.fsencode(text):
        figure = (figure ^ byte) * 0x100000001B3 % 2**64
    return figure


def read_limit(pid: int) -> int | None:
    """Return the attempt's limit that the process carries, or None."""
    try:
        content = read_file(f"/proc/{pid}/limits")
    except OSError:
        return None
    place = content.find(_LIMIT_LINE)
    fields = content[place + len(_LIMIT_LINE) :].split(None, 1) if place >= 0 else []
    figure = int(fields[0]) if fields and fields[0].isdigit() else 0
    return figure if figure >= _BEYOND_USE else None
