"""Retries of a POST: the same Idempotency-Key and body give the first answer again, and the work is done once."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from api.errors import IdempotencyKeyReused, RequestInProgress
from api.util.clock import Clock
from api.web.kept_answer_models import KEPT_SECONDS, AlreadyMade, KeptAnswer

#: The most answers kept; the oldest go first. Answers here are small (under 1 KB), so these are some 10 MB.
CAPACITY = 10_000


class IdempotencyStore(Protocol):
    """The seam: the database keeps answers over a restart, the fake beside it for one process."""

    def begin(self, scope: str, fingerprint: bytes) -> KeptAnswer | AlreadyMade | None:
        """The kept answer; None when the caller is to do the work, or what an attempt without an answer has made.

        Raises RequestInProgress, IdempotencyKeyReused.
        """
        ...

    def finish(self, scope: str, answer: KeptAnswer | None) -> None:
        """Keeps the answer; None lets go of the key, so that a retry does the work."""
        ...


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes
    began: float
    answer: KeptAnswer | None = None


class MemoryIdempotencyStore:
    """The fake: answers in memory, under one lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def begin(self, scope: str, fingerprint: bytes) -> KeptAnswer | None:
        with self._lock:
            now = self._clock.monotonic()
            entry = self._entries.get(scope)
            if entry is None or now - entry.began > KEPT_SECONDS:
                self._forget_old(now)
                self._entries[scope] = _Entry(fingerprint, now)
                return None
            if entry.fingerprint != fingerprint:
                raise IdempotencyKeyReused
            if entry.answer is None:
                raise RequestInProgress(headers={"Retry-After": "1"})
            return entry.answer

    def finish(self, scope: str, answer: KeptAnswer | None) -> None:
        with self._lock:
            if answer is None:
                self._entries.pop(scope, None)
            elif scope in self._entries:
                self._entries[scope].answer = answer

    def _forget_old(self, now: float) -> None:
        surplus = len(self._entries) + 1 - CAPACITY
        forgotten: list[str] = []
        for scope, entry in self._entries.items():
            if entry.answer is None:
                # What is still being worked on is never forgotten; it is only ever as much as there are threads.
                continue
            if now - entry.began <= KEPT_SECONDS and len(forgotten) >= surplus:
                break
            forgotten.append(scope)
        for scope in forgotten:
            del self._entries[scope]
