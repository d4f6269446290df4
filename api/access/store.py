"""Keys, sessions, tickets and users, and the number by which all servers know that one of them was changed."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import maybe_time, to_seconds, to_time
from api.db.tables import access_state, keys, sessions, tickets, users
from api.domain.access import AccessKey, Permission, Quota, Role, Session, User
from api.domain.audit import note_change
from api.errors import KeyEnded, KeyNotFound, LastAdministrator, UserNotFound

_STATE = 1

#: Seconds beyond which no ticket and no sign-in that is under way ends; clocks of servers differ by less.
_LATEST_SECONDS = 3600.0

#: Asked four times a second by every server; to build it takes as long as to execute it.
_VERSION = select(access_state.c.version).where(access_state.c.id == _STATE)
_RAISE = update(access_state).where(access_state.c.id == _STATE).values(version=access_state.c.version + 1)

#: Bounds of a quota by their names; None takes one away, and what is not named stays.
QuotaChanges = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class KnownCredentials:
    """What holds at one version: keys that are neither revoked nor expired, sessions that go on, quotas by user."""

    version: int
    keys: dict[str, AccessKey]  #: by the SHA-256 of the key
    ended: dict[str, AccessKey]  #: revoked and expired ones, by the same, so that who uses one is told why
    sessions: dict[str, Session]  #: by the SHA-256 of the cookie
    quotas: dict[str, Quota]
    next_end: datetime | None = None  #: when the first of them expires


class _IsThere(Exception):
    """The key is kept already: the transaction changes nothing, and the audit keeps no note of it."""


class CredentialStore:
    """Keys, sessions, tickets and users in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        """A number that is higher after each change; 0 before the first."""
        with self._database.read() as connection:
            return connection.scalar(_VERSION) or 0

    def load(self, now: datetime) -> KnownCredentials:
        """Everything that authenticates at this time, of one version."""
        with self._database.read() as connection:
            version = connection.scalar(_VERSION) or 0
            every = [(row.hash, _read_key(row)) for row in connection.execute(select(keys))]
            going_on = select(sessions).where(sessions.c.expires_at > to_seconds(now))
            signed_in = {row.hash: _read_session(row) for row in connection.execute(going_on)}
            quotas = {row.user_id: _read_user(row).quota for row in connection.execute(select(users))}
        keys_ = {hash_: key for hash_, key in every if key.holds(now)}
        ends = [key.expires_at for key in keys_.values() if key.expires_at is not None]
        ends += [session.expires_at for session in signed_in.values()]
        return KnownCredentials(
            version=version,
            keys=keys_,
            ended={hash_: key for hash_, key in every if not key.holds(now)},
            sessions=signed_in,
            quotas=quotas,
            next_end=min(ends, default=None),
        )

    # -- keys ------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many keys there are, revoked ones among them."""
        with self._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(keys)) or 0

    def add(self, key: AccessKey, hash_: str, quota: QuotaChanges | None = None) -> None:
        """Keeps a new key, and with `quota` what its user may use."""
        with self._database.write() as connection:
            _note_change(connection)
            _add_key(connection, key, hash_)
            _note_user(connection, key.user_id, key.created_at, quota or {})

    def add_first(self, key: AccessKey, hash_: str) -> bool:
        """Keeps the first key of all; False when there is one already."""
        with suppress(_IsThere), self._database.write() as connection:
            # Raised first: on PostgreSQL two servers that start together take turns by its row.
            _note_change(connection)
            if connection.scalar(select(func.count()).select_from(keys)):
                raise _IsThere
            _add_key(connection, key, hash_)
            _note_user(connection, key.user_id, key.created_at, {})
            return True
        return False

    def add_given(self, key: AccessKey, hash_: str) -> bool:
        """Keeps a key that was made elsewhere; False when it is there. Raises KeyEnded for another one of its id."""
        with suppress(_IsThere), self._database.write() as connection:
            _note_change(connection)
            there = connection.scalar(select(keys.c.hash).where(keys.c.key_id == key.key_id))
            if there == hash_:
                raise _IsThere
            if there is not None:
                raise KeyEnded(f"Another key has the id {key.key_id}.")
            _add_key(connection, key, hash_)
            _note_user(connection, key.user_id, key.created_at, {})
            return True
        return False

    def rotate(self, key_id: str, successor: AccessKey, hash_: str, ends_at: datetime) -> None:
        """Keeps the successor; the old key and what was begun with it end at this time, or earlier if they did.

        Raises KeyNotFound, or KeyEnded for a key that does not hold or has a successor.
        """
        with self._database.write() as connection:
            _note_change(connection)
            old = _get_key(connection, key_id)
            if not old.holds(successor.created_at):
                raise KeyEnded(f"The key {key_id} {'has expired' if old.revoked_at is None else 'was revoked'}.")
            if old.rotated_to is not None:
                raise KeyEnded(f"The key {key_id} was replaced by {old.rotated_to} already.")
            end = to_seconds(ends_at if old.expires_at is None else min(ends_at, old.expires_at))
            values = {"expires_at": end, "rotated_to": successor.key_id}
            connection.execute(update(keys).where(keys.c.key_id == key_id).values(values))
            _add_key(connection, successor, hash_)
            told = {"rotated_to": successor.key_id, "ends_at": to_time(end)}
            note_change(about=key_id, before={"ends_at": old.expires_at}, after=told)

    def reissue(self, key_id: str, hash_: str) -> bool:
        """Exchange the hash of a key that was never used; False when it was, or was revoked."""
        unused = (keys.c.key_id == key_id) & keys.c.last_used_at.is_(None) & keys.c.revoked_at.is_(None)
        with self._database.write() as connection:
            _note_change(connection)
            note_change(about=key_id, after={"reissued": True})
            return connection.execute(update(keys).where(unused).values(hash=hash_)).rowcount == 1

    def revoke(self, key_id: str, by: str, now: datetime, *, keeps_administrator: bool = False) -> AccessKey:
        """Ends a key and the sessions that began with it; one that was revoked stays as it is. Raises KeyNotFound.

        With `keeps_administrator` LastAdministrator is raised where no other key is left that may do everything.
        """
        with self._database.write() as connection:
            _note_change(connection)
            key = _get_key(connection, key_id)
            if keeps_administrator and _is_last_administrator(connection, key, now):
                raise LastAdministrator
            note_change(about=key_id, before=_tell(key), after={"revoked_at": now, "revoked_by": by})
            values = {"revoked_at": to_seconds(now), "revoked_by": by}
            connection.execute(
                update(keys).where((keys.c.key_id == key_id) & keys.c.revoked_at.is_(None)).values(values)
            )
            connection.execute(delete(sessions).where(sessions.c.key_id == key_id))
            connection.execute(delete(tickets).where(tickets.c.key_id == key_id))
            return _get_key(connection, key_id)

    def get(self, key_id: str) -> AccessKey:
        """The key with this id. Raises KeyNotFound."""
        with self._database.read() as connection:
            return _get_key(connection, key_id)

    def list(self, user_id: str | None = None) -> Sequence[AccessKey]:
        """Every key, newest first; with `user_id` that user's."""
        query = select(keys).order_by(keys.c.created_at.desc(), keys.c.key_id)
        if user_id is not None:
            query = query.where(keys.c.user_id == user_id)
        with self._database.read() as connection:
            return [_read_key(row) for row in connection.execute(query)]

    def note_used(self, key_ids: Iterable[str], now: datetime) -> None:
        """Notes that these keys were used. That changes nothing for who uses them."""
        with self._database.write(is_audited=False) as connection:
            mine = keys.c.key_id.in_(list(key_ids))
            connection.execute(update(keys).where(mine).values(last_used_at=to_seconds(now)))

    # -- users -----------------------------------------------------------------------------------------------------

    def users(self) -> Sequence[User]:
        """Everybody whom a key was made for, by name."""
        with self._database.read() as connection:
            return [_read_user(row) for row in connection.execute(select(users).order_by(users.c.user_id))]

    def note_user(self, user_id: str, now: datetime, quota: QuotaChanges | None = None) -> None:
        """Makes the user known; with `quota` changes what they may use at most."""
        with self._database.write() as connection:
            _note_change(connection)
            _note_user(connection, user_id, now, quota or {})

    def change_quota(self, user_id: str, quota: QuotaChanges) -> User:
        """Changes what a user may use at most. Raises UserNotFound."""
        with self._database.write() as connection:
            _note_change(connection)
            found = _get_user(connection, user_id)
            _note_user(connection, user_id, found.created_at, quota)
            return _get_user(connection, user_id)

    # -- sessions and tickets --------------------------------------------------------------------------------------

    def add_session(self, session: Session, ended_before: datetime) -> None:
        """Keeps a session, and forgets those that ended before this time."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= to_seconds(ended_before)))
            row = {
                "hash": session.hash,
                "user_id": session.user_id,
                "name": session.name,
                "role": session.role,
                "permissions": None if session.permissions is None else list(session.permissions),
                "key_id": session.key_id,
                "created_at": to_seconds(session.created_at),
                "expires_at": to_seconds(session.expires_at),
            }
            connection.execute(insert(sessions).values(row))
            # Who it is shows only now: nobody has to show a key to reach the sign-in.
            told = {"expires_at": session.expires_at, "role": session.role}
            note_change(about=session.user_id, after=told, actor=session.user_id, key_id=session.key_id)
            _note_change(connection)

    def bound_sessions(self, most: datetime, expires_at: datetime) -> None:
        """Have sessions that would end later than `most` end at `expires_at`."""
        late = update(sessions).where(sessions.c.expires_at > to_seconds(most))
        with self._database.write(is_audited=False) as connection:
            connection.execute(late.values(expires_at=to_seconds(expires_at)))

    def end_session(self, hash_: str) -> None:
        """Ends a session."""
        with self._database.write() as connection:
            note_change()
            connection.execute(delete(sessions).where(sessions.c.hash == hash_))
            connection.execute(delete(tickets).where(tickets.c.session == hash_))
            _note_change(connection)

    def add_ticket(
        self, hash_: str, key_id: str | None, session: str | None, now: datetime, expires_at: datetime
    ) -> None:
        """Keeps a ticket, and forgets those that have expired."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(tickets).where(~holds_at(tickets.c.expires_at, now)))
            row = {"hash": hash_, "key_id": key_id, "session": session, "expires_at": to_seconds(expires_at)}
            connection.execute(insert(tickets).values(row))

    def use_ticket(self, hash_: str, now: datetime) -> tuple[str | None, str | None] | None:
        """Uses up a ticket: the key and the session behind it; None when there is none, or somebody was first."""
        with self._database.write(is_audited=False) as connection:
            holds = (tickets.c.hash == hash_) & holds_at(tickets.c.expires_at, now)
            row = connection.execute(
                delete(tickets).where(holds).returning(tickets.c.key_id, tickets.c.session)
            ).one_or_none()
            return None if row is None else (row.key_id, row.session)


def holds_at(expires_at: ColumnElement[float], now: datetime) -> ColumnElement[bool]:
    """Whether what ends within minutes holds now: not if it ends so late that a clock was ahead when it was made."""
    seconds = to_seconds(now)
    return (expires_at > seconds) & (expires_at <= seconds + _LATEST_SECONDS)


def _note_change(connection: Connection) -> None:
    if connection.execute(_RAISE).rowcount == 0:
        try:
            with connection.begin_nested():
                connection.execute(insert(access_state).values(id=_STATE, version=1))
        except IntegrityError:
            connection.execute(_RAISE)  # another server was first


def _add_key(connection: Connection, key: AccessKey, hash_: str) -> None:
    row = {
        "key_id": key.key_id,
        "user_id": key.user_id,
        "name": key.name,
        "role": key.role,
        "permissions": None if key.permissions is None else list(key.permissions),
        "hash": hash_,
        "created_at": to_seconds(key.created_at),
        "created_by": key.created_by,
        "expires_at": None if key.expires_at is None else to_seconds(key.expires_at),
    }
    connection.execute(insert(keys).values(row))
    note_change(about=key.key_id, after=_tell(key))


def _tell(key: AccessKey) -> dict[str, Any]:
    """What the audit says of a key."""
    names = ("user_id", "name", "role", "permissions", "created_by", "expires_at")
    return {name: getattr(key, name) for name in names}


def _note_user(connection: Connection, user_id: str, now: datetime, changes: QuotaChanges) -> None:
    row = connection.execute(select(users).where(users.c.user_id == user_id)).one_or_none()
    if row is None:
        connection.execute(insert(users).values(user_id=user_id, created_at=to_seconds(now), quota=dict(changes)))
        if changes:
            note_change(after={"quota": dict(changes)})
    elif changes:
        quota = {**(row.quota or {}), **changes}
        note_change(before={"quota": row.quota}, after={"quota": quota})
        connection.execute(update(users).where(users.c.user_id == user_id).values(quota=quota))


def _get_user(connection: Connection, user_id: str) -> User:
    row = connection.execute(select(users).where(users.c.user_id == user_id)).one_or_none()
    if row is None:
        raise UserNotFound(f'Nobody is called "{user_id[:80]}": users are those whom a key was made for.')
    return _read_user(row)


def _is_last_administrator(connection: Connection, key: AccessKey, now: datetime) -> bool:
    """Whether the key may do everything, and no other that may holds, those aside that give way to a successor."""
    every = frozenset(Permission)
    if key.granted != every or not key.holds(now):
        return False
    others = (_read_key(row) for row in connection.execute(select(keys).where(keys.c.key_id != key.key_id)))
    return not any(other.granted == every and other.holds(now) and other.rotated_to is None for other in others)


def _get_key(connection: Connection, key_id: str) -> AccessKey:
    row = connection.execute(select(keys).where(keys.c.key_id == key_id)).one_or_none()
    if row is None:
        raise KeyNotFound(f'No key has the id "{key_id[:80]}".')
    return _read_key(row)


def _read_grant(row: Row[Any]) -> dict[str, Any]:
    """What a key or session permits: a role, or words of its own."""
    return {
        "role": None if row.role is None else Role(row.role),
        "permissions": None if row.permissions is None else tuple(row.permissions),
    }


def _read_key(row: Row[Any]) -> AccessKey:
    return AccessKey(
        key_id=row.key_id,
        user_id=row.user_id,
        name=row.name,
        **_read_grant(row),
        created_at=to_time(row.created_at),
        created_by=row.created_by,
        expires_at=maybe_time(row.expires_at),
        last_used_at=maybe_time(row.last_used_at),
        revoked_at=maybe_time(row.revoked_at),
        revoked_by=row.revoked_by,
        rotated_to=row.rotated_to,
    )


def _read_session(row: Row[Any]) -> Session:
    return Session(
        hash=row.hash,
        user_id=row.user_id,
        name=row.name,
        **_read_grant(row),
        key_id=row.key_id,
        created_at=to_time(row.created_at),
        expires_at=to_time(row.expires_at),
    )


def _read_user(row: Row[Any]) -> User:
    return User(row.user_id, Quota(**(row.quota or {})), to_time(row.created_at))
