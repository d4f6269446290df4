"""Starts the program that writes an archive out, follows it, and ends it when it takes too long."""

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

#: Seconds that any archive may take, and bytes of the archive that are worth one more second.
_SECONDS = 120.0
_BYTES_A_SECOND = 2 * 2**20

#: Seconds between two looks at whether the time is up.
_LOOK_SECONDS = 0.5

#: The longest line that the program says.
_MOST_LINE = 64 * 1024

#: Hears how many entries and bytes were written so far; what it raises ends the program.
Listener = Callable[[int, int], None]


class Expander:
    """Writes archives out, each by a process of its own with the kernel's limits."""

    def __init__(self, limits: ArchiveLimits, python: str = sys.executable) -> None:
        self._limits = limits
        self._python = python

    def expand(self, archive: Path, target: Path, listener: Listener = lambda entries, written: None) -> list[Expanded]:
        """The files of an archive, written into `target`, which is made. Raises BadArchive, InsufficientStorage,
        Unavailable, OSError; then nothing of it is kept, and `target` is the caller's to remove.
        """
        target.mkdir(mode=0o700)
        seconds = _SECONDS + archive.stat().st_size / _BYTES_A_SECOND
        with self._start(archive, target) as process:
            end = _follow(process, time.monotonic() + seconds, listener)
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


def _follow(process: "subprocess.Popen[bytes]", ends_at: float, listener: Listener) -> dict[str, Any]:
    """What the program says last. Raises BadArchive when its time is up, or it has ended without a word."""
    for line in _lines(_stream(process.stdout), ends_at):
        said: dict[str, Any] = orjson.loads(line)
        if "end" in said:
            return said
        listener(said["entries"], said["written"])
    code = process.wait()
    if code in (-signal.SIGKILL, -signal.SIGXCPU):
        # The kernel's limit on its time, or a machine that is short of memory.
        raise BadArchive("takes more time or memory to unpack than an archive may")
    raise Unavailable(f"The program that unpacks archives has failed ({code}): ask again.")


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
            if not waiting.select(_LOOK_SECONDS):
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
        raise InsufficientStorage("The disk has too little room for what the archive holds: make room, and try again.")
    if end["end"] == "failed":
        raise OSError(end["errno"], end["reason"])
