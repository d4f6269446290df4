"""A child process that answers requests: a line of JSON each, answered by a line and the bytes that it announces."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import api

GRACE_SECONDS = 2.0  #: extra seconds to wait for an answer after the child's own timeout
_MAX_ANSWER = 64 * 1024**2  #: most bytes of one answer
_PACKAGE_ROOT = Path(api.__file__).resolve().parents[1]


class ChildDied(Exception):
    """A child ended, or was ended, without an answer; `code` is its exit code, None if it did not end in time."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class ChildProcess:
    """One process, which answers one request at a time."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raise OSError."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_PACKAGE_ROOT,
            env=dict(environment),
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise ValueError("a child has both pipes")
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._waiting = bytearray()

    def request(self, message: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        """Return the answer and its bytes. Raises ChildDied."""
        until = time.monotonic() + seconds
        try:
            self._write(json.dumps(message).encode() + b"\n", until)
        except OSError:
            raise self._death() from None
        answer = json.loads(self._read_line(until))
        return answer, self._read(int(answer.get("bytes", 0)), until)

    def end(self) -> None:
        """Kill the child and what it has started, and wait until it has ended."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._stdin, self._stdout):
            # Unwritten data is lost with the child.
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

    def _write(self, content: bytes, until: float) -> None:
        """Write to the child, which may have stopped reading. Raise ChildDied, OSError."""
        poll = select.poll()
        poll.register(self._stdin, select.POLLOUT)
        for start in range(0, len(content), select.PIPE_BUF):
            # A pipe that is writable takes this much at once.
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise ChildDied(None)
            os.write(self._stdin.fileno(), content[start : start + select.PIPE_BUF])

    def _read_line(self, until: float) -> bytes:
        while (end := self._waiting.find(b"\n")) < 0:
            self._read_more(until)
        return self._cut(end + 1)

    def _read(self, size: int, until: float) -> bytes:
        while len(self._waiting) < size:
            self._read_more(until)
        return self._cut(size)

    def _cut(self, size: int) -> bytes:
        found = bytes(self._waiting[:size])
        del self._waiting[:size]
        return found

    def _read_more(self, until: float) -> None:
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise ChildDied(None)
        received = os.read(self._stdout.fileno(), 1 << 20)
        if not received or len(self._waiting) > _MAX_ANSWER:
            raise self._death()
        self._waiting += received

    def _death(self) -> ChildDied:
        try:
            return ChildDied(self._process.wait(GRACE_SECONDS))
        except subprocess.TimeoutExpired:
            return ChildDied(None)
