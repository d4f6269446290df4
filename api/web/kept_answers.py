"""First answers to requests with an Idempotency-Key, kept over a restart."""

import logging
from collections.abc import Callable

from sqlalchemy import bindparam, delete, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import kept_answers
from api.errors import DatabaseUnavailable, IdempotencyKeyReused, RequestInProgress
from api.util.clock import Clock
from api.web.kept_answer_models import KEPT_SECONDS, AlreadyMade, KeptAnswer

logger = logging.getLogger(__name__)

# From while the clock was wrong: they are kept for a day from now, and not until that time has come.
_BOUND = update(kept_answers).where(kept_answers.c.began_at > bindparam("now")).values(began_at=bindparam("now"))


class DatabaseIdempotencyStore:
    """Answers in the database. `owner` names this server process, `is_alive` says whether another's still runs."""

    def __init__(self, database: Database, clock: Clock, owner: str, is_alive: Callable[[str], bool]) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner
        self._is_alive = is_alive
        self._unwritten: dict[str, KeptAnswer | None] = {}

    def begin(self, scope: str, fingerprint: bytes) -> KeptAnswer | AlreadyMade | None:
        """The kept answer; None when the caller is to do the work, or what an attempt without an answer has made.

        Raises RequestInProgress, IdempotencyKeyReused.
        """
        self._write_rest()
        # Begun and forgotten by the steady time, which no clock that is set moves ahead.
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
                    return KeptAnswer(found.status, found.body, tuple((name, value) for name, value in found.headers))
                if found.owner and self._is_alive(found.owner):
                    raise RequestInProgress(headers={"Retry-After": "1"})
                # Its server is gone, or has failed, without an answer: what it had made is answered, or made now.
                abandoned = (kept_answers.c.scope == scope) & (kept_answers.c.owner == found.owner)
                if connection.execute(update(kept_answers).where(abandoned).values(owner=self._owner)).rowcount == 0:
                    raise RequestInProgress(headers={"Retry-After": "1"})
                return None if found.made is None else AlreadyMade(found.made["about"], found.made["numbers"])
        except IntegrityError:
            raise RequestInProgress(headers={"Retry-After": "1"}) from None

    def finish(self, scope: str, answer: KeptAnswer | None) -> None:
        """Keeps the answer; None lets go of the key, so that a retry does the work, or finds what was made.

        While the database is away the answer waits here: the request is answered all the same, and so is its retry.
        """
        self._unwritten[scope] = answer
        try:
            self._write_rest()
        except DatabaseUnavailable as error:
            logger.warning("an answer waits for the database", extra={"problem": error.detail})

    def _write_rest(self) -> None:
        for scope, answer in list(self._unwritten.items()):
            self._write(scope, answer)
            self._unwritten.pop(scope, None)

    def _write(self, scope: str, answer: KeptAnswer | None) -> None:
        mine = (kept_answers.c.scope == scope) & (kept_answers.c.owner == self._owner)
        with self._database.write(is_audited=False) as connection:
            if answer is None:
                connection.execute(delete(kept_answers).where(mine, kept_answers.c.made.is_(null())))
                connection.execute(update(kept_answers).where(mine).values(owner=""))
            else:
                headers = [list(header) for header in answer.headers]
                values = {"status": answer.status, "body": answer.body, "headers": headers}
                connection.execute(update(kept_answers).where(mine).values(values))
