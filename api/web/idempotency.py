"""Idempotency of POST: a retry with the same Idempotency-Key and body gets the first response again."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import bindparam, delete, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import kept_answers
from api.errors import DatabaseUnavailable, IdempotencyKeyReused, RequestInProgress
from api.util.clock import Clock

logger = logging.getLogger(__name__)

# Rows from a time when the clock was ahead: they expire a day from now.
_BOUND = update(kept_answers).where(kept_answers.c.began_at > bindparam("now")).values(began_at=bindparam("now"))

#: The most stored responses; the oldest are dropped first. Responses are small (under 1 KB), so these are some 10 MB.
CAPACITY = 10_000


KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """Status, body and headers of the first response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """What a request with an Idempotency-Key created before its server failed without a response."""

    about: str  #: the id or name of the created object, as in the audit
    numbers: Mapping[str, int]  #: numbers that the audit stored with it, such as its version

    @property
    def version(self) -> int | None:
        """The number of the created version, or None."""
        return self.numbers.get("version")


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


class DatabaseIdempotencyStore:
    """Responses in the database. `owner` names this server process; `is_alive` checks whether another one runs."""

    def __init__(self, database: Database, clock: Clock, owner: str, is_alive: Callable[[str], bool]) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._is_alive = is_alive
        self._unwritten: dict[str, StoredResponse | None] = {}

    def begin(self, scope: str, fingerprint: bytes) -> StoredResponse | EarlierResult | None:
        """Return the stored response, or None if the caller must do the work.

        After an attempt that created something but failed without a response: what it created.
        Raises RequestInProgress, IdempotencyKeyReused.
        """
        self._write_rest()
        # The steady time, which is not affected by changes of the system clock.
        now = to_seconds(self._clock.steady.now())
        row = {"scope": scope, "fingerprint": fingerprint, "owner": self._owner, "began_at": now}
        try:
            with self._database.write(is_audited=False) as connection:
                connection.execute(delete(kept_answers).where(kept_answers.c.began_at < now - KEPT_SECONDS))
                connection.execute(_BOUND, {"now": now})
                found = connection.execute(select(kept_answers).where(kept_answers.c.scope == scope)).one_or_none()
                if found is None:
                    connection.execute(insert(kept_answers).values(row))
                    return None
                if found.fingerprint != fingerprint:
                    raise IdempotencyKeyReused
                if found.status is not None:
                    return StoredResponse(
                        found.status, found.body, tuple((name, value) for name, value in found.headers)
                    )
                if found.owner and self._is_alive(found.owner):
                    raise RequestInProgress(headers={"Retry-After": "1"})
                # Its server failed without a response: return what it created, or let this caller do the work.
                abandoned = (kept_answers.c.scope == scope) & (kept_answers.c.owner == found.owner)
                if connection.execute(update(kept_answers).where(abandoned).values(owner=self._owner)).rowcount == 0:
                    raise RequestInProgress(headers={"Retry-After": "1"})
                return None if found.made is None else EarlierResult(found.made["about"], found.made["numbers"])
        except IntegrityError:
            raise RequestInProgress(headers={"Retry-After": "1"}) from None

    def finish(self, scope: str, answer: StoredResponse | None) -> None:
        """Store the response. None releases the key: a retry does the work again, or gets what was created.

        While the database is unavailable the response is held in memory.
        """
        self._unwritten[scope] = answer
        try:
            self._write_rest()
        except DatabaseUnavailable as error:
            logger.warning("a response waits for the database", extra={"problem": error.detail})

    def _write_rest(self) -> None:
        for scope, answer in list(self._unwritten.items()):
            self._write(scope, answer)
            self._unwritten.pop(scope, None)

    def _write(self, scope: str, answer: StoredResponse | None) -> None:
        mine = (kept_answers.c.scope == scope) & (kept_answers.c.owner == self._owner)
        with self._database.write(is_audited=False) as connection:
            if answer is None:
                connection.execute(delete(kept_answers).where(mine, kept_answers.c.made.is_(null())))
                connection.execute(update(kept_answers).where(mine).values(owner=""))
            else:
                headers = [list(header) for header in answer.headers]
                values = {"status": answer.status, "body": answer.body, "headers": headers}
                connection.execute(update(kept_answers).where(mine).values(values))
