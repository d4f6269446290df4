"""Leader election: a row with a fence that each write of the leader checks, so that two leaders never write."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database, write_guard
from api.db.tables import leadership
from api.util.clock import Clock

#: Seconds without a renewal after which another server takes over, and seconds between two renewals.
LEADERSHIP_SECONDS = 15.0
RENEW_SECONDS = 5.0

#: The most seconds that one check counts as quiet, because no leader can renew while the database is unavailable.
CHECK_SECONDS = 2.0

# Built once: the leader reads its row in every transaction, and building takes as long as executing.
_ROW = select(leadership).where(leadership.c.scope == bindparam("scope"))
_MINE = (
    (leadership.c.scope == bindparam("own_scope"))
    & (leadership.c.fence == bindparam("own_fence"))
    & (leadership.c.holder == bindparam("own_holder"))
)
#: Locks the row until the transaction ends, so that no other server takes over during it.
_LOCK = select(leadership.c.fence).where(_MINE).with_for_update(read=True)
_RENEW = update(leadership).where(_MINE).values(expires_at=bindparam("until"))
_FOLLOW = update(leadership).where(_MINE, leadership.c.expires_at == bindparam("seen_until"))
_RELEASE = update(leadership).where(_MINE).values(holder="")


class LeadershipLost(Exception):
    """Another server leads now; the transaction must not be committed."""


class Leadership:
    """A server's candidacy for the leadership of a scope. Not thread-safe.

    Clocks of different machines are never compared. A leader is replaced if its row did not change for 15 s of our own
    monotonic clock, or immediately if `is_gone` knows that its process has ended.
    """

    def __init__(
        self, database: Database, scope: str, name: Callable[[], str], clock: Clock, is_gone: Callable[[str], bool]
    ) -> None:
        """`name` returns a name for this process as a leader, which no other process ever has."""
        self._database = database
        self._scope = scope
        self._name = name
        self._holder = ""
        self._clock = clock
        self._is_gone = is_gone
        self._fence: int | None = None
        self._renewed_at = 0.0
        self._seen: tuple[int, str, float] | None = None
        self._checked_at = 0.0
        self._quiet = 0.0

    def hold(self) -> bool:
        """Return whether this server leads; takes over if there is no leader. Raises DatabaseUnavailable."""
        now = self._clock.monotonic()
        if self._fence is None:
            self._take_over(now)
        elif now - self._renewed_at >= RENEW_SECONDS:
            self._renew(now)
        return self._fence is not None

    def _renew(self, now: float) -> None:
        with self._database.write() as connection:
            renewed = connection.execute(_RENEW, {**self._mine(), "until": self._expiry()})
        if renewed.rowcount == 1:
            self._renewed_at = now
        else:
            self._fence = None

    def _take_over(self, now: float) -> None:
        with self._database.read() as connection:
            row = connection.execute(_ROW, {"scope": self._scope}).one_or_none()
        seen = None if row is None else (row.fence, row.holder, row.expires_at)
        self._quiet = self._quiet + min(now - self._checked_at, CHECK_SECONDS) if seen == self._seen else 0.0
        has_given_sign = self._seen is not None and seen != self._seen
        self._seen, self._checked_at = seen, now
        if seen is None:
            fence = self._begin()
        elif not seen[1] or self._quiet >= LEADERSHIP_SECONDS or (not has_given_sign and self._is_gone(seen[1])):
            # A leader that has just renewed is alive; its process need not be checked.
            fence = self._follow(*seen)
        else:
            return
        if fence is not None:
            self._fence, self._renewed_at = fence, now

    def _begin(self) -> int | None:
        self._holder = self._name()
        row = {"scope": self._scope, "fence": 1, "holder": self._holder, "expires_at": self._expiry()}
        try:
            with self._database.write() as connection:
                connection.execute(insert(leadership).values(row))
        except IntegrityError:
            return None  # another server was faster
        return 1

    def _follow(self, fence: int, holder: str, expires_at: float) -> int | None:
        self._holder = self._name()
        as_seen = {"own_scope": self._scope, "own_fence": fence, "own_holder": holder, "seen_until": expires_at}
        values = {"fence": fence + 1, "holder": self._holder, "expires_at": self._expiry()}
        with self._database.write() as connection:
            changed = connection.execute(_FOLLOW, {**as_seen, **values}).rowcount
        return fence + 1 if changed == 1 else None

    def guarding(self) -> AbstractContextManager[None]:
        """Guard the write transactions in the `with` block: they raise LeadershipLost unless this server leads."""
        return write_guard(self._check)

    def _check(self, connection: Connection) -> None:
        if self._fence is None or connection.scalar(_LOCK, self._mine()) is None:
            self._fence = None
            raise LeadershipLost

    def release(self) -> None:
        """Give up the leadership, so that another server need not wait. Raises DatabaseUnavailable."""
        if self._fence is None:
            return
        mine, self._fence = self._mine(), None
        with self._database.write() as connection:
            connection.execute(_RELEASE, mine)

    def _mine(self) -> dict[str, str | int | None]:
        """Return the parameters that identify its own row in the statements above."""
        return {"own_scope": self._scope, "own_fence": self._fence, "own_holder": self._holder}

    def _expiry(self) -> float:
        return self._clock.now().timestamp() + LEADERSHIP_SECONDS


class Leaders:
    """The leaders of all scopes, by their own clocks: for display, not for decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, seconds: float) -> set[str]:
        """Return the scopes that had a leader after this time, in Unix seconds."""
        leads = (leadership.c.holder != "") & (leadership.c.expires_at > seconds)
        with self._database.read() as connection:
            return set(connection.scalars(select(leadership.c.scope).where(leads)))
