"""The keys and sessions that hold, in memory: a request asks no database, and a revocation holds within a second."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from api.access.store import CredentialStore, KnownCredentials
from api.domain.access import AccessKey, Credential, Permission, Principal, Quota, Session
from api.errors import (
    DatabaseUnavailable,
    Forbidden,
    KeyExpired,
    KeyRevoked,
    KeysUnknown,
    ServiceError,
    SessionEnded,
    Unauthenticated,
    WrongKey,
    WrongTicket,
)
from api.util.clock import Clock
from api.util.deadlines import READ_SECONDS, hurrying
from api.util.key_format import hash_of
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: How long a sign-in at the page lasts at most.
SESSION = timedelta(hours=12)

#: A clock that is set back by so much, perhaps by mistake, ends no session.
SET_BACK = timedelta(days=2)

#: Seconds between two looks for changes: a revocation holds everywhere within a second.
LOOK_SECONDS = 0.25

#: Seconds for which keys hold that could not be looked at again: a minute, and the time that it takes to notice.
TRUST_SECONDS = 65.0

#: Seconds between two notes of when keys were last used.
USE_SECONDS = 60.0

#: Seconds between a look and one that an unknown key causes: it may have been made on another server a moment ago.
EAGER_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Mirror:
    """What is known of one version, with the principals that were asked for: exchanged as a whole, so that none of an
    older version can come into a newer one.
    """

    known: KnownCredentials
    hashes: dict[str, str]  #: of all keys, by their id
    #: By what finds them, and the hash: a cookie is no key, nor a key a cookie, whoever was asked for before.
    principals: "dict[tuple[_Show, str], Principal]" = field(default_factory=dict)


#: Finds whom the hash of a key, or that of a cookie, belongs to. Raises as `KeyRing.find_key` does.
_Show = Callable[[_Mirror, str], Principal]


def _mirror(known: KnownCredentials) -> _Mirror:
    return _Mirror(known, {key.key_id: hash_ for every in (known.ended, known.keys) for hash_, key in every.items()})


class KeyRing:
    """A mirror of the keys and sessions in the database, which any thread may ask."""

    def __init__(self, store: CredentialStore, clock: Clock, defaults: Quota | None = None) -> None:
        """`defaults` is what a user may use whose own quota does not say."""
        self._store = store
        self._clock = clock
        self._defaults = defaults or Quota()
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._mirror = _mirror(KnownCredentials(-1, {}, {}, {}, {}))
        self._loaded_at = datetime.max.replace(tzinfo=UTC)  #: by the wall clock
        self._looked_at = float("-inf")
        self._tried_at = float("-inf")
        self._used: set[str] = set()
        self._noted_at = clock.monotonic()
        self._thread = PeriodicThread("key-ring", LOOK_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to look for changes."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the looking, and notes which keys were used."""
        self._thread.stop()
        self._note_used()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has `listener` called, in the thread that looked, whenever a principal may have ceased to hold."""
        self._listeners.append(listener)

    def run_once(self) -> None:
        """Looks for changes. While the database does not answer, what is known holds for a minute."""
        try:
            with hurrying(READ_SECONDS):
                self.refresh()
        except DatabaseUnavailable as error:
            logger.debug("keys cannot be looked at", extra={"problem": error.detail})
            # Time alone ends keys, and the trust in them.
            self._tell()
        if self._clock.monotonic() - self._noted_at >= USE_SECONDS:
            self._note_used()

    def refresh(self) -> None:
        """Takes up what was changed, and forgets what has expired. Raises DatabaseUnavailable."""
        with self._lock:
            began = self._tried_at = self._clock.monotonic()
            now, was_set_back = self._clock.now(), self._clock.now() < self._loaded_at
            if was_set_back:
                # Perhaps at this start: a session from while the clock was far ahead would last as long as it was.
                with suppress(DatabaseUnavailable):
                    self._store.bound_sessions(now + SESSION + SET_BACK, now + SESSION)
            has_changed = was_set_back or self._store.version() != self._mirror.known.version or self._has_expired()
            if has_changed:
                self._mirror, self._loaded_at = _mirror(self._store.load(now)), now
            self._looked_at = began
        if has_changed:
            self._tell()

    def _has_expired(self) -> bool:
        next_end = self._mirror.known.next_end
        return next_end is not None and next_end <= self._clock.now()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def seconds_to_look(self) -> float:
        """Seconds until an unknown key may cause another look."""
        return max(0.0, self._tried_at + EAGER_SECONDS - self._clock.monotonic())

    def _note_used(self) -> None:
        self._noted_at = self._clock.monotonic()
        used, self._used = self._used, set()
        if used:
            try:
                self._store.note_used(used, self._clock.now())
            except DatabaseUnavailable:
                self._used |= used

    # -- for requests ----------------------------------------------------------------------------------------------

    def find_key(self, key: str) -> Principal:
        """Whom a key belongs to. Raises KeyExpired, KeyRevoked, KeysUnknown, or WrongKey for an unknown one."""
        principal = self._find(hash_of(key), _show_key)
        if principal.key_id is not None:
            self._used.add(principal.key_id)
        return principal

    def find_session(self, cookie: str) -> Principal:
        """Whom a cookie of the page belongs to. Raises as `find_key` does."""
        return self._find(hash_of(cookie), _show_session)

    def find_again(self, key_id: str | None, session: str | None) -> Principal:
        """Whom a ticket belongs to, by the key or session that it was made with. Raises as `find_key` does."""
        if session is not None:
            return self._find(session, _show_session)
        return self._find(self._mirror.hashes.get(key_id or "", ""), _show_key)

    def use_ticket(self, ticket: str) -> Principal:
        """Whom a ticket belongs to, which is used up by that. Waits for the database.

        Raises WrongTicket, DatabaseUnavailable, and as `find_key` does for what it was made with.
        """
        found = self._store.use_ticket(hash_of(ticket), self._clock.now())
        if found is None:
            raise WrongTicket
        try:
            principal = self.find_again(*found)
        except WrongKey:
            # Another server has made the key, or the sign-in, in this moment.
            self.refresh()
            principal = self.find_again(*found)
        return replace(principal, credential=Credential.TICKET)

    def why_ended(self, principal: Principal) -> ServiceError | None:
        """Why a principal that was let in would not be let in so any more; None while it would.

        The key or session behind it has ended, or permits less than it did.
        """
        if principal.credential is Credential.NONE:
            return None
        try:
            present = self.find_again(principal.key_id, principal.session)
        except (Unauthenticated, KeysUnknown) as error:
            return error
        return None if principal.permissions <= present.permissions else Forbidden()

    def quota_of(self, user_id: str) -> Quota:
        """What a user may use at most."""
        return self._mirror.known.quotas.get(user_id, self._defaults).or_else(self._defaults)

    def may(self, user_id: str, permission: Permission) -> bool:
        """Whether a key or session of a user that has not ended has a permission. Raises DatabaseUnavailable before
        the first look.
        """
        if self._mirror.known.version < 0:
            self.refresh()
        mirror = self._mirror
        keys = [(_show_key, hash_) for hash_, key in mirror.known.keys.items() if key.user_id == user_id]
        cookies = [(_show_session, hash_) for hash_, each in mirror.known.sessions.items() if each.user_id == user_id]
        for show, hash_ in (*keys, *cookies):
            with suppress(Unauthenticated):
                found = show(mirror, hash_)
                if found.may(permission) and (found.expires_at is None or found.expires_at > self._clock.now()):
                    return True
        return False

    def _find(self, hash_: str, show: _Show) -> Principal:
        if self._clock.monotonic() - self._looked_at > TRUST_SECONDS:
            raise KeysUnknown(headers={"Retry-After": "2"})
        mirror = self._mirror
        principal = mirror.principals.get((show, hash_))
        if principal is None:
            principal = mirror.principals[show, hash_] = show(mirror, hash_)
        if principal.expires_at is not None and principal.expires_at <= self._clock.now():
            raise KeyExpired
        return principal


def _show_key(mirror: _Mirror, hash_: str) -> Principal:
    key = mirror.known.keys.get(hash_)
    if key is None:
        raise _refusal(mirror.known.ended.get(hash_))
    return Principal(
        key.user_id, key.role, key.granted, Credential.KEY, key.key_id, name=key.name, expires_at=key.expires_at
    )


def _show_session(mirror: _Mirror, hash_: str) -> Principal:
    session = mirror.known.sessions.get(hash_)
    if session is None:
        raise SessionEnded
    return Principal(
        session.user_id,
        session.role,
        session.granted,
        Credential.SESSION,
        session.key_id,
        session.hash,
        session.name,
        _end_of(mirror, session),
    )


def _end_of(mirror: _Mirror, session: Session) -> datetime:
    """When a session ends: no later than the key that it began with. Raises what `_show_key` raises."""
    if session.key_id is None:
        return session.expires_at
    # Whoever signed in at the moment in which the key was revoked has no more than it.
    end = _show_key(mirror, mirror.hashes.get(session.key_id, "")).expires_at
    return session.expires_at if end is None else min(session.expires_at, end)


def _refusal(key: AccessKey | None) -> Unauthenticated:
    if key is None:
        return WrongKey()
    return KeyExpired() if key.revoked_at is None else KeyRevoked()
