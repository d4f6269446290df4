"""The pool of processes that decode media files: few, with limited memory and time, replaced when they die."""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe, MediaProblem, MediaSource, Recipe
from api.errors import DecoderBusy
from api.files.child_process import GRACE_SECONDS, ChildDied, ChildProcess

#: Processor time limits in seconds: examining a whole file (maybe a video of gigabytes), grouping, drawing.
PROBE_SECONDS = 30.0
GROUP_SECONDS = 60.0
THUMBNAIL_SECONDS = 10.0
STRIP_SECONDS = 30.0

#: Address space of a child: the largest image that Pillow accepts needs a third of it, the libraries a quarter.
MEMORY_BYTES = 2 * 1024**3

#: Seconds that a request waits for a free process.
PATIENCE_SECONDS = 20.0

#: Requests for pictures that may wait at the same time, each in a request thread: a browser has six connections.
MAX_WAITING = 6

#: Factor from processor time to wall-clock time of a request, because the machine has other work.
PATIENCE_FACTOR = 4

#: Exit codes of a child that its own limits have ended.
_BY_LIMITS = frozenset({-signal.SIGALRM, -signal.SIGXCPU})


class MediaDecoder:
    """Passes each request to a free child. A hostile file only causes a problem in its own facts."""

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
        """Return the facts about a file's content. Raises DecoderBusy."""
        return self.examine(MediaSource(path)).facts

    def examine(self, source: MediaSource) -> MediaProbe:
        """Examine a whole file. Raises DecoderBusy."""
        try:
            answer, _ = self._request({"do": "probe", **_sent(source)}, PROBE_SECONDS)
        except ChildDied as death:
            if _is_certain(death) or death.code == -signal.SIGKILL:
                return _BOMB
            text = "The decoder crashed on this file."
            return MediaProbe(MediaFacts(MediaKind.OTHER, problem=MediaProblem.UNREADABLE, problem_text=text))
        return _read_probe(answer["probe"]) if "probe" in answer else _BOMB

    def group_alike(self, hashes: Sequence[str], distance: int) -> tuple[list[list[int]], bool]:
        """Group the positions of hashes that differ in at most `distance` bits; also return whether all were compared.

        Raises DecoderBusy.
        """
        if len(hashes) < 2:
            return [], True
        try:
            answer, _ = self._request({"do": "group", "hashes": list(hashes), "distance": distance}, GROUP_SECONDS)
        except ChildDied:
            return [], False
        return answer.get("groups", []), answer.get("is_whole", False)

    def thumbnail(self, source: MediaSource, side: int) -> bytes | None:
        """Return a JPEG of at most `side` × `side` pixels; None if that is impossible. Raises DecoderBusy."""
        return self._draw({"do": "thumbnail", **_sent(source), "side": side}, THUMBNAIL_SECONDS)

    def as_trained(self, source: MediaSource, recipe: Recipe, positions: Sequence[int]) -> bytes | None:
        """Return a PNG of frames of a recipe, side by side, by their positions in it; None if that is impossible.

        Raises DecoderBusy.
        """
        wanted = {**_sent(source), "recipe": asdict(recipe), "positions": list(positions)}
        return self._draw({"do": "as_trained", **wanted}, STRIP_SECONDS)

    def _draw(self, request: Mapping[str, Any], seconds: float) -> bytes | None:
        try:
            answer, picture = self._request(request, seconds, is_counted=True)
        except ChildDied:
            return None
        return None if "failed" in answer else picture

    def close(self) -> None:
        """End the children; requests in progress are abandoned."""
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

    def _request(
        self, request: Mapping[str, Any], seconds: float, *, is_counted: bool = False
    ) -> tuple[dict[str, Any], bytes]:
        if not self._await_child(is_counted=is_counted):
            raise DecoderBusy(headers={"Retry-After": "2"})
        try:
            return self._request_once(request, seconds)
        except ChildDied as death:
            if _is_certain(death):
                raise
            return self._request_once(request, seconds)
        finally:
            self._free.release()

    def _request_once(self, request: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        child, patience = self._take_child(), seconds * PATIENCE_FACTOR
        try:
            answer, payload = child.request(
                {**request, "seconds": seconds, "patience": patience}, patience + GRACE_SECONDS
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
        """Raise DecoderBusy after a close, because a child that ends then does not mean that its file is damaged."""
        if self._is_closed:
            raise DecoderBusy(headers={"Retry-After": "2"})

    def _take_child(self) -> "_Child":
        with self._lock:
            self._require_open()
            if self._idle:
                return self._idle.pop()
            try:
                child = _Child(self._memory_bytes)
            except OSError as error:
                raise DecoderBusy(
                    f"No decoder process can be started: {error.strerror}.", headers={"Retry-After": "10"}
                ) from error
            self._living.add(child)
            return child

    def _end(self, child: "_Child") -> None:
        with self._lock:
            self._living.discard(child)
            if child in self._idle:
                self._idle.remove(child)
        child.end()


class _Child(ChildProcess):
    """One process, which answers one request at a time."""

    def __init__(self, memory_bytes: int) -> None:
        super().__init__(
            [sys.executable, "-m", "api.files.media.child", str(memory_bytes)],
            # More threads would not help its small computations; and decoders get none of the service's secrets.
            {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
        )


def _is_certain(death: ChildDied) -> bool:
    """Return whether the file is the cause: a child may also be killed by an administrator or for lack of memory."""
    return death.code is None or death.code in _BY_LIMITS


def _sent(source: MediaSource) -> dict[str, str | None]:
    return {"path": os.fspath(source.path.absolute()), "sha256": source.sha256}


_BOMB = MediaProbe(
    MediaFacts(
        MediaKind.OTHER,
        problem=MediaProblem.BOMB,
        problem_text="Decoding it needs more memory or time than is allowed.",
    )
)


def _read_probe(answer: Mapping[str, Any]) -> MediaProbe:
    facts = dict(answer["facts"])
    facts["kind"] = MediaKind(facts["kind"])
    return MediaProbe(**{**answer, "facts": MediaFacts(**facts)})
