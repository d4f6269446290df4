"""Run the program that unpacks an archive, follow its progress, and end it at its time limit."""

import errno
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import orjson

from api.errors import InsufficientStorage, Unavailable
from api.files.archives import child
from api.files.archives.expansion import INDEX, Expanded
from api.files.archives.limits import ArchiveLimits, BadArchive

#: Time limit: seconds for any archive, and bytes of the archive for one more second.
_SECONDS = 120.0
_BYTES_A_SECOND = 2 * 2**20

#: Seconds between two checks of the time limit.
_CHECK_SECONDS = 0.5

#: Longest line of the program's output in bytes.
_MOST_LINE = 64 * 1024

#: Receives the number of entries and bytes written so far; its exceptions end the program.
ReportProgress = Callable[[int, int], None]


class Expander:
    """Unpacks archives, each in a separate process with kernel limits."""

    def __init__(self, limits: ArchiveLimits, python: str = sys.executable) -> None:
        self._limits = limits
        self._python = python

    def expand(
        self, archive: Path, target: Path, report: ReportProgress = lambda entries, written: None
    ) -> list[Expanded]:
        """Unpack an archive into the new directory `target`, and return its files.

        Raises BadArchive, InsufficientStorage, Unavailable, OSError. After an error the caller must remove `target`.
        """
        target.mkdir(mode=0o700)
        seconds = _SECONDS + archive.stat().st_size / _BYTES_A_SECOND
        with self._start(archive, target) as process:
            end = _follow(process, time.monotonic() + seconds, report)
        _require_done(end)
        with (target / INDEX).open("rb") as index:
            return [Expanded(**orjson.loads(line)) for line in index]

    @contextmanager
    def _start(self, archive: Path, target: Path) -> "Iterator[subprocess.Popen[bytes]]":
        order = {"archive": str(archive), "target": str(target), "limits": asdict(self._limits)}
        process = subprocess.Popen(
            [self._python, "-I", os.path.abspath(child.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=target,
            env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        try:
            _stream(process.stdin).write(orjson.dumps(order))
            _stream(process.stdin).close()
            yield process
        finally:
            process.kill()
            process.wait()
            _stream(process.stdout).close()


def _follow(process: "subprocess.Popen[bytes]", ends_at: float, report: ReportProgress) -> dict[str, Any]:
    """Return the last message of the program.

    Raises BadArchive at the time limit; Unavailable if the program crashes.
    """
    for line in _lines(_stream(process.stdout), ends_at):
        message: dict[str, Any] = orjson.loads(line)
        if "end" in message:
            return message
        report(message["entries"], message["written"])
    code = process.wait()
    if code in (-signal.SIGKILL, -signal.SIGXCPU):
        # The kernel's time limit, or a machine without free memory.
        raise BadArchive("needs more time or memory than is allowed for an archive")
    raise Unavailable(f"The program that unpacks archives has failed ({code}): try again.")


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the program was started without its pipes")
    return pipe


def _lines(stream: IO[bytes], ends_at: float) -> Iterator[bytes]:
    with selectors.DefaultSelector() as waiting:
        waiting.register(stream, selectors.EVENT_READ)
        rest = b""
        while True:
            if time.monotonic() > ends_at:
                raise BadArchive("takes too long to unpack")
            if not waiting.select(_CHECK_SECONDS):
                continue
            part = os.read(stream.fileno(), _MOST_LINE)
            if not part:
                return
            *lines, rest = (rest + part).split(b"\n")
            yield from lines


def _require_done(end: dict[str, Any]) -> None:
    if end["end"] == "refused":
        raise BadArchive(end["reason"], end["entry"])
    if end["end"] == "no_room" or end.get("errno") in (errno.ENOSPC, errno.EDQUOT):
        raise InsufficientStorage(
            "The disk has too little free space for the files of the archive: free disk space and try again."
        )
    if end["end"] == "failed":
        raise OSError(end["errno"], end["reason"])
