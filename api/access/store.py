"""Keys, sessions, tickets and users in the database, with a version number that increases with each change."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import dump_fields, read_fields, to_seconds, to_time
from api.db.tables import access_state, keys, sessions, sign_ins, tickets, users
from api.domain.access.audit import note_change
from api.domain.access.principal import AccessKey, Permission, Quota, Session, User
from api.errors import KeyEnded, KeyNotFound, LastAdministrator, UserNotFound

_STATE = 1

#: The most seconds until a ticket or sign-in expires; the clocks of servers differ by less.
_LATEST_SECONDS = 3600.0

#: Executed four times a second by every server; building it takes as long as executing it.
_VERSION = select(access_state.c.version).where(access_state.c.id == _STATE)
_RAISE = update(access_state).where(access_state.c.id == _STATE).values(version=access_state.c.version + 1)

#: Bounds of a quota by name; None removes one, and others stay.
QuotaChanges = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class KnownCredentials:
    """The credentials at one version: active keys and sessions, and quotas by user."""

    version: int
    keys: dict[str, AccessKey]  #: by the SHA-256 of the key
    ended: dict[str, AccessKey]  #: revoked and expired keys by the same, for a precise error message
    sessions: dict[str, Session]  #: by the SHA-256 of the cookie
    quotas: dict[str, Quota]
    next_end: datetime | None = None  #: when the first of them expires


class _IsThere(Exception):
    """The key is already stored: rolls the transaction back, so that the audit has no entry."""


class CredentialStore:
    """Keys, sessions, tickets and users in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        """Return a number that increases with each change; 0 before the first."""
        with self._database.read() as connection:
            return connection.scalar(_VERSION) or 0

    def load(self, now: datetime) -> KnownCredentials:
        """Return all credentials at this time, from one version."""
        with self._database.read() as connection:
            version = connection.scalar(_VERSION) or 0
            every = [(row.hash, read_fields(AccessKey, row)) for row in connection.execute(select(keys))]
            going_on = select(sessions).where(sessions.c.expires_at > to_seconds(now))
            signed_in = {row.hash: read_fields(Session, row) for row in connection.execute(going_on)}
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
        """Return the number of keys, including revoked ones."""
        with self._database.read() as connection:
            return connection.scalar(select(func.count()).select_from(keys)) or 0

    def add(self, key: AccessKey, hash_: str, quota: QuotaChanges | None = None) -> None:
        """Store a new key and, with `quota`, the bounds of its user."""
        with self._database.write() as connection:
            _note_change(connection)
            _add_key(connection, key, hash_)
            _note_user(connection, key.user_id, key.created_at, quota or {})

    def add_first(self, key: AccessKey, hash_: str) -> bool:
        """Store the first key; return False if there is one already."""
        with suppress(_IsThere), self._database.write() as connection:
            # Written first: on PostgreSQL its row lock orders servers that start at the same time.
            _note_change(connection)
            if connection.scalar(select(func.count()).select_from(keys)):
                raise _IsThere
            _add_key(connection, key, hash_)
            _note_user(connection, key.user_id, key.created_at, {})
            return True
        return False

    def add_given(self, key: AccessKey, hash_: str) -> bool:
        """Store a given key; False if it is stored already. Raises KeyEnded if another key has its id."""
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
        """Store the successor. The old key and its sessions end at this time, or earlier if they would anyway.

        Raises KeyNotFound, or KeyEnded for a key that is not active or has a successor.
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
            change = {"rotated_to": successor.key_id, "ends_at": to_time(end)}
            note_change(about=key_id, before={"ends_at": old.expires_at}, after=change)

    def reissue(self, key_id: str, hash_: str) -> bool:
        """Replace the hash of an unused key; return False if it was used or revoked."""
        unused = (keys.c.key_id == key_id) & keys.c.last_used_at.is_(None) & keys.c.revoked_at.is_(None)
        with self._database.write() as connection:
            _note_change(connection)
            note_change(about=key_id, after={"reissued": True})
            return connection.execute(update(keys).where(unused).values(hash=hash_)).rowcount == 1

    def revoke(self, key_id: str, by: str, now: datetime, *, keeps_administrator: bool = False) -> AccessKey:
        """End a key and its sessions; a revoked key stays as it is. Raises KeyNotFound.

        With `keeps_administrator` it raises LastAdministrator if no other administrator's key would be left.
        """
        with self._database.write() as connection:
            _note_change(connection)
            key = _get_key(connection, key_id)
            if keeps_administrator and _is_last_administrator(connection, key, now):
                raise LastAdministrator
            note_change(about=key_id, before=_audit_fields(key), after={"revoked_at": now, "revoked_by": by})
            values = {"revoked_at": to_seconds(now), "revoked_by": by}
            connection.execute(
                update(keys).where((keys.c.key_id == key_id) & keys.c.revoked_at.is_(None)).values(values)
            )
            connection.execute(delete(sessions).where(sessions.c.key_id == key_id))
            connection.execute(delete(tickets).where(tickets.c.key_id == key_id))
            return _get_key(connection, key_id)

    def get(self, key_id: str) -> AccessKey:
        """Return the key with this id. Raises KeyNotFound."""
        with self._database.read() as connection:
            return _get_key(connection, key_id)

    def list(self, user_id: str | None = None) -> Sequence[AccessKey]:
        """Return every key, newest first; with `user_id` only that user's."""
        query = select(keys).order_by(keys.c.created_at.desc(), keys.c.key_id)
        if user_id is not None:
            query = query.where(keys.c.user_id == user_id)
        with self._database.read() as connection:
            return [read_fields(AccessKey, row) for row in connection.execute(query)]

    def note_used(self, key_ids: Iterable[str], now: datetime) -> None:
        """Store that these keys were used. This does not increase the version."""
        with self._database.write(is_audited=False) as connection:
            mine = keys.c.key_id.in_(list(key_ids))
            connection.execute(update(keys).where(mine).values(last_used_at=to_seconds(now)))

    # -- users -----------------------------------------------------------------------------------------------------

    def users(self) -> Sequence[User]:
        """Return every user who has a key, by name."""
        with self._database.read() as connection:
            return [_read_user(row) for row in connection.execute(select(users).order_by(users.c.user_id))]

    def note_user(self, user_id: str, now: datetime, quota: QuotaChanges | None = None) -> None:
        """Store the user, if new; with `quota` change their bounds."""
        with self._database.write() as connection:
            _note_change(connection)
            _note_user(connection, user_id, now, quota or {})

    def change_quota(self, user_id: str, quota: QuotaChanges) -> User:
        """Change a user's quota. Raises UserNotFound."""
        with self._database.write() as connection:
            _note_change(connection)
            found = _get_user(connection, user_id)
            _note_user(connection, user_id, found.created_at, quota)
            return _get_user(connection, user_id)

    # -- sessions and tickets --------------------------------------------------------------------------------------

    def add_session(self, session: Session, ended_before: datetime) -> None:
        """Store a session, and delete those that ended before this time."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= to_seconds(ended_before)))
            connection.execute(insert(sessions).values(dump_fields(session, sessions)))
            # The user is known only now: the sign-in requires no authentication.
            change = {"expires_at": session.expires_at, "role": session.role}
            note_change(about=session.user_id, after=change, actor=session.user_id, key_id=session.key_id)
            _note_change(connection)

    def bound_sessions(self, most: datetime, expires_at: datetime) -> None:
        """Shorten sessions that would end later than `most` to end at `expires_at`."""
        late = update(sessions).where(sessions.c.expires_at > to_seconds(most))
        with self._database.write(is_audited=False) as connection:
            connection.execute(late.values(expires_at=to_seconds(expires_at)))

    def end_session(self, hash_: str) -> None:
        """End a session."""
        with self._database.write() as connection:
            note_change()
            connection.execute(delete(sessions).where(sessions.c.hash == hash_))
            connection.execute(delete(tickets).where(tickets.c.session == hash_))
            _note_change(connection)

    def add_ticket(
        self, hash_: str, key_id: str | None, session: str | None, now: datetime, expires_at: datetime
    ) -> None:
        """Store a ticket, and delete expired ones."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(tickets).where(~holds_at(tickets.c.expires_at, now)))
            row = {"hash": hash_, "key_id": key_id, "session": session, "expires_at": to_seconds(expires_at)}
            connection.execute(insert(tickets).values(row))

    def use_ticket(self, hash_: str, now: datetime) -> tuple[str | None, str | None] | None:
        """Delete a ticket and return its key and session; None if it is missing or already used."""
        with self._database.write(is_audited=False) as connection:
            holds = (tickets.c.hash == hash_) & holds_at(tickets.c.expires_at, now)
            row = connection.execute(
                delete(tickets).where(holds).returning(tickets.c.key_id, tickets.c.session)
            ).one_or_none()
            return None if row is None else (row.key_id, row.session)


def holds_at(expires_at: ColumnElement[float], now: datetime) -> ColumnElement[bool]:
    """Return the condition that a short-lived row is valid now; a row from a clock far ahead is not."""
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
    connection.execute(insert(keys).values(dump_fields(key, keys, hash=hash_)))
    note_change(about=key.key_id, after=_audit_fields(key))


def _audit_fields(key: AccessKey) -> dict[str, Any]:
    """Return the values of a key that the audit stores."""
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
        raise UserNotFound(f'There is no user "{user_id[:80]}". Users exist once a key is created for them.')
    return _read_user(row)


def _is_last_administrator(connection: Connection, key: AccessKey, now: datetime) -> bool:
    """Return whether no other active administrator's key without a successor would be left."""
    every = frozenset(Permission)
    if key.granted != every or not key.holds(now):
        return False
    others = (
        read_fields(AccessKey, row) for row in connection.execute(select(keys).where(keys.c.key_id != key.key_id))
    )
    return not any(other.granted == every and other.holds(now) and other.rotated_to is None for other in others)


def _get_key(connection: Connection, key_id: str) -> AccessKey:
    row = connection.execute(select(keys).where(keys.c.key_id == key_id)).one_or_none()
    if row is None:
        raise KeyNotFound(f'There is no key with the id "{key_id[:80]}".')
    return read_fields(AccessKey, row)


def _read_user(row: Row[Any]) -> User:
    return User(row.user_id, Quota(**(row.quota or {})), to_time(row.created_at))


@dataclass(frozen=True, slots=True)
class SignIn:
    """The values sent to the provider, and the address for afterwards."""

    state: str
    nonce: str
    verifier: str  #: the PKCE verifier, required to exchange the code
    redirect_uri: str
    next: str


class SignInStore:
    """Sign-ins in progress, by the SHA-256 of the browser's cookie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, hash_: str, sign_in: SignIn, now: datetime, expires_at: datetime) -> None:
        """Store a sign-in until it expires, and delete expired ones."""
        row = {each.name: getattr(sign_in, each.name) for each in fields(SignIn)}
        with self._database.write() as connection:
            connection.execute(delete(sign_ins).where(~holds_at(sign_ins.c.expires_at, now)))
            connection.execute(insert(sign_ins).values(hash=hash_, expires_at=to_seconds(expires_at), **row))

    def take(self, hash_: str, now: datetime) -> SignIn | None:
        """Remove a sign-in and return it, so that it completes only once; None if it is missing or expired."""
        columns = [sign_ins.c[each.name] for each in fields(SignIn)]
        holds = (sign_ins.c.hash == hash_) & holds_at(sign_ins.c.expires_at, now)
        with self._database.write() as connection:
            row = connection.execute(delete(sign_ins).where(holds).returning(*columns)).one_or_none()
        return None if row is None else SignIn(**row._asdict())
