"""By what every process of an attempt is known, whoever its parents were and whoever started it.

A variable in the environment says it in words; whoever empties the environment loses it. A soft limit that the kernel
hands on through fork, setsid and exec stays: that of real-time CPU, of which no trainer takes any, set to a figure that
is the attempt's own and far beyond all use.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

from .files import complain, read_file

MARKER = "DPIPE_ATTEMPT_UID"  #: the variable

_LIMIT_LINE = b"Max realtime timeout"
_BEYOND_USE = 2**61  # microseconds


class ProcessMark:
    """The marks of one attempt."""

    def __init__(self, uid: str) -> None:
        self._variable = b"\0" + os.fsencode(f"{MARKER}={uid}") + b"\0"
        self.limit = limit_of(uid)

    def is_on(self, pid: int) -> bool:
        """Whether the process with this pid carries one of the marks; a zombie may, too."""
        try:
            if self._variable in b"\0" + read_file(f"/proc/{pid}/environ") + b"\0":
                return True
        except OSError:
            pass  # other users' environments are closed to us, and their limits are not
        return read_limit(pid) == self.limit

    @contextlib.contextmanager
    def handed_on(self) -> Iterator[None]:
        """Marks every process started in the `with` block; by the environment alone where the limit may not be set."""
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
    """The soft limit that the processes of this attempt have, and no others."""
    return _BEYOND_USE + hash_of(uid) % _BEYOND_USE


def hash_of(text: str) -> int:
    """A number of 64 bits that is the same for the same text, for ever."""
    figure = 0xCBF29CE484222325  # FNV-1a
    for byte in os.fsencode(text):
        figure = (figure ^ byte) * 0x100000001B3 % 2**64
    return figure


def read_limit(pid: int) -> int | None:
    """The figure of the attempt that the process belongs to; None when it carries none."""
    try:
        content = read_file(f"/proc/{pid}/limits")
    except OSError:
        return None
    place = content.find(_LIMIT_LINE)
    fields = content[place + len(_LIMIT_LINE) :].split(None, 1) if place >= 0 else []
    figure = int(fields[0]) if fields and fields[0].isdigit() else 0
    return figure if figure >= _BEYOND_USE else None
