"""Idempotency of POST: a retry with the same Idempotency-Key and body gets the first response again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from api.errors import IdempotencyKeyReused, RequestInProgress
from api.util.clock import Clock
from api.web.stored_responses import KEPT_SECONDS, EarlierResult, StoredResponse

#: The most stored responses; the oldest are dropped first. Responses are small (under 1 KB), so these are some 10 MB.
CAPACITY = 10_000


class IdempotencyStore(Protocol):
    """Stores responses: in the database, so that they survive a restart, or in memory for tests."""

    def begin(self, scope: str, fingerprint: bytes) -> StoredResponse | EarlierResult | None:
        """Return the stored response, or None if the caller must do the work.

        After an attempt that created something but failed without a response: what it created.
        Raises RequestInProgress, IdempotencyKeyReused.
        """
        ...

    def finish(self, scope: str, answer: StoredResponse | None) -> None:
        """Store the response. None releases the key, so that a retry does the work again."""
        ...


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes
    began: float
    answer: StoredResponse | None = None


class MemoryIdempotencyStore:
    """The fake: responses in memory, under one lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def begin(self, scope: str, fingerprint: bytes) -> StoredResponse | None:
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

    def finish(self, scope: str, answer: StoredResponse | None) -> None:
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
                # Requests in progress are never dropped; they are no more than there are threads.
                continue
            if now - entry.began <= KEPT_SECONDS and len(forgotten) >= surplus:
                break
            forgotten.append(scope)
        for scope in forgotten:
            del self._entries[scope]
