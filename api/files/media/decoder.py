"""The processes that decode media files for this service: few, bounded in memory and time, replaced when they die."""

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import api
from api.domain.dataset import MediaFacts, MediaKind
from api.domain.media import MediaProbe, MediaProblem, MediaSource, Recipe
from api.errors import DecoderBusy

logger = logging.getLogger(__name__)

#: Seconds of processor time that one file may take: a look at a whole one, which may be a video of gigabytes.
PROBE_SECONDS = 30.0
GROUP_SECONDS = 60.0
THUMBNAIL_SECONDS = 10.0
STRIP_SECONDS = 30.0

#: Address space of a child: the largest image that Pillow takes needs a third of it, and the libraries a quarter.
MEMORY_BYTES = 2 * 1024**3

#: Seconds that a request waits for a free process.
PATIENCE_SECONDS = 20.0

#: Requests for pictures that wait at a time, each in a thread that answers requests: a browser has six connections.
MAX_WAITING = 6

#: How many times that a request may take by the clock: the machine does other things too.
PATIENCE_FACTOR = 4

_GRACE_SECONDS = 2.0  #: what an answer may be later than the child's own alarm
_MAX_ANSWER = 64 * 1024**2  #: bytes of one answer
_PACKAGE_ROOT = Path(api.__file__).resolve().parents[1]

#: How a child ends that its own limits end.
_BY_LIMITS = frozenset({-signal.SIGALRM, -signal.SIGXCPU})


class ChildDied(Exception):
    """A child ended, or was ended, instead of answering; `code` is its exit code, None when it did not end in time."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"exit code {code}")
        self.code = code

    @property
    def is_certain(self) -> bool:
        """Whether the file was the cause: a child may also be killed by a person, or because memory runs out."""
        return self.code is None or self.code in _BY_LIMITS


class MediaDecoder:
    """Hands each request to a free child. A file that is made to break decoders costs a problem in its facts."""

    def __init__(
        self, children: int = 2, patience_seconds: float = PATIENCE_SECONDS, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.children = children
        self._memory_bytes = memory_bytes
        self._free = threading.BoundedSemaphore(children)
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._living: set[_Child] = set()
        self._patience_seconds = patience_seconds
        self._is_closed = False

    def probe(self, path: Path) -> MediaFacts:
        """What the file's content says. Raises DecoderBusy."""
        return self.examine(MediaSource(path)).facts

    def examine(self, source: MediaSource) -> MediaProbe:
        """What a look at the whole file finds. Raises DecoderBusy."""
        try:
            answer, _ = self._ask({"do": "probe", **_sent(source)}, PROBE_SECONDS)
        except ChildDied as death:
            return _fatal(death)
        return _read_probe(answer["probe"]) if "probe" in answer else _BOMB

    def group_alike(self, hashes: Sequence[str], distance: int) -> tuple[list[list[int]], bool]:
        """Positions of hashes that differ in `distance` bits at most, in groups; and whether all were compared.

        Raises DecoderBusy.
        """
        if len(hashes) < 2:
            return [], True
        try:
            answer, _ = self._ask({"do": "group", "hashes": list(hashes), "distance": distance}, GROUP_SECONDS)
        except ChildDied:
            return [], False
        return answer.get("groups", []), answer.get("is_whole", False)

    def thumbnail(self, source: MediaSource, side: int) -> bytes | None:
        """A JPEG of at most `side` × `side` pixels; None when none can be made of the file. Raises DecoderBusy."""
        return self._draw({"do": "thumbnail", **_sent(source), "side": side}, THUMBNAIL_SECONDS)

    def as_trained(self, source: MediaSource, recipe: Recipe, positions: Sequence[int]) -> bytes | None:
        """A PNG of frames that a recipe makes, by their positions in it, beside each other; None when there is none.

        Raises DecoderBusy.
        """
        wanted = {**_sent(source), "recipe": asdict(recipe), "positions": list(positions)}
        return self._draw({"do": "as_trained", **wanted}, STRIP_SECONDS)

    def _draw(self, request: Mapping[str, Any], seconds: float) -> bytes | None:
        try:
            answer, picture = self._ask(request, seconds, is_counted=True)
        except ChildDied:
            return None
        return None if "failed" in answer else picture

    def close(self) -> None:
        """Ends the children; a request that is being answered is given up."""
        with self._lock:
            self._is_closed = True
            living = list(self._living)
        for child in living:
            self._end(child)

    def _await_child(self, *, is_counted: bool) -> bool:
        if self._free.acquire(blocking=False):
            return True
        if not is_counted:
            return self._free.acquire(timeout=self._patience_seconds)
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._free.acquire(timeout=self._patience_seconds)
        finally:
            self._waiting.release()

    def _ask(
        self, request: Mapping[str, Any], seconds: float, *, is_counted: bool = False
    ) -> tuple[dict[str, Any], bytes]:
        if not self._await_child(is_counted=is_counted):
            raise DecoderBusy(headers={"Retry-After": "2"})
        try:
            return self._ask_once(request, seconds)
        except ChildDied as death:
            if death.is_certain:
                raise
            return self._ask_once(request, seconds)
        finally:
            self._free.release()

    def _ask_once(self, request: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        child, patience = self._take(), seconds * PATIENCE_FACTOR
        try:
            answer, payload = child.ask(
                {**request, "seconds": seconds, "patience": patience}, patience + _GRACE_SECONDS
            )
        except BaseException:
            self._end(child)
            self._require_open()
            raise
        if answer.get("is_last"):
            self._end(child)
        else:
            with self._lock:
                self._idle.append(child)
        return answer, payload

    def _require_open(self) -> None:
        """What becomes of a child now says nothing of its file. Raises DecoderBusy."""
        if self._is_closed:
            raise DecoderBusy(headers={"Retry-After": "2"})

    def _take(self) -> "_Child":
        with self._lock:
            self._require_open()
            if self._idle:
                return self._idle.pop()
            try:
                child = _Child(self._memory_bytes)
            except OSError as error:
                raise DecoderBusy(
                    f"No process can be started to decode: {error.strerror}.", headers={"Retry-After": "10"}
                ) from error
            self._living.add(child)
            return child

    def _end(self, child: "_Child") -> None:
        with self._lock:
            self._living.discard(child)
            if child in self._idle:
                self._idle.remove(child)
        child.end()


class _Child:
    """One process, which answers one request at a time."""

    def __init__(self, memory_bytes: int) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.files.media.child", str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_PACKAGE_ROOT,
            # Its arithmetic is too small for more threads; and nothing of the service's secrets is for decoders.
            env={"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise ValueError("a child has both pipes")
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._waiting = bytearray()

    def ask(self, request: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        """The answer and its bytes. Raises ChildDied."""
        until = time.monotonic() + seconds
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
        except OSError:
            raise self._death() from None
        answer = json.loads(self._read_line(until))
        return answer, self._read(int(answer["bytes"]), until)

    def end(self) -> None:
        """Kills the child, and waits until it has ended."""
        self._process.kill()
        for pipe in (self._stdin, self._stdout):
            # What was not yet written is lost with it.
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

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
            return ChildDied(self._process.wait(_GRACE_SECONDS))
        except subprocess.TimeoutExpired:
            return ChildDied(None)


def _sent(source: MediaSource) -> dict[str, str | None]:
    return {"path": os.fspath(source.path.absolute()), "sha256": source.sha256}


_BOMB = MediaProbe(
    MediaFacts(
        MediaKind.OTHER,
        problem=MediaProblem.BOMB,
        problem_text="It asks for more memory or time than any media file may.",
    )
)


def _fatal(death: ChildDied) -> MediaProbe:
    if death.is_certain or death.code == -signal.SIGKILL:
        return _BOMB
    text = "The decoder crashed on it."
    return MediaProbe(MediaFacts(MediaKind.OTHER, problem=MediaProblem.UNREADABLE, problem_text=text))


def _read_probe(answer: Mapping[str, Any]) -> MediaProbe:
    facts = dict(answer["facts"])
    facts["kind"] = MediaKind(facts["kind"])
    return MediaProbe(**{**answer, "facts": MediaFacts(**facts)})
