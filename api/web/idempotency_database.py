"""First responses to requests with an Idempotency-Key, stored in the database."""

import logging
from collections.abc import Callable

from sqlalchemy import bindparam, delete, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import kept_answers
from api.errors import DatabaseUnavailable, IdempotencyKeyReused, RequestInProgress
from api.util.clock import Clock
from api.web.stored_responses import KEPT_SECONDS, EarlierResult, StoredResponse

logger = logging.getLogger(__name__)

# Rows from a time when the clock was ahead: they expire a day from now.
_BOUND = update(kept_answers).where(kept_answers.c.began_at > bindparam("now")).values(began_at=bindparam("now"))


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
