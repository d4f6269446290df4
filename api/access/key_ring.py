"""Active keys and sessions, in memory. Requests query no database; a revocation takes effect within a second."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from api.access.store import CredentialStore, KnownCredentials
from api.domain.access.principal import AccessKey, Credential, Permission, Principal, Quota, Session
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
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.periodic import LoopOwner, PeriodicThread
from api.util.text.key_format import hash_of

logger = logging.getLogger(__name__)

#: The longest duration of a session in the browser.
SESSION = timedelta(hours=12)

#: Setting the clock back by up to this much, perhaps by mistake, ends no session.
SET_BACK = timedelta(days=2)

#: Seconds between two checks for changes; a revocation takes effect everywhere within a second.
CHECK_SECONDS = 0.25

#: Seconds for which keys stay valid without a successful check: a minute, and the time to notice.
TRUST_SECONDS = 65.0

#: Seconds between two writes of when keys were last used.
USE_SECONDS = 60.0

#: Seconds between a check and another one caused by an unknown key, which another server may just have created.
EAGER_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Mirror:
    """The credentials of one version with the principals derived from them.

    It is replaced as a whole, so that no principal of an older version survives.
    """

    known: KnownCredentials
    hashes: dict[str, str]  #: of all keys, by key id
    #: By the function that finds them, and the hash: a cookie must never be accepted as a key, or a key as a cookie.
    principals: "dict[tuple[_Show, str], Principal]" = field(default_factory=dict)


#: Returns the principal of the hash of a key or cookie. Raises the errors of `KeyRing.find_key`.
_Show = Callable[[_Mirror, str], Principal]


def _mirror(known: KnownCredentials) -> _Mirror:
    return _Mirror(known, {key.key_id: hash_ for every in (known.ended, known.keys) for hash_, key in every.items()})


class KeyRing(LoopOwner):
    """A copy of the database's keys and sessions in memory. Thread-safe."""

    def __init__(self, store: CredentialStore, clock: Clock, defaults: Quota | None = None) -> None:
        """`defaults` is the quota of users without one of their own."""
        self._store = store
        self._clock = clock
        self._defaults = defaults or Quota()
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._mirror = _mirror(KnownCredentials(-1, {}, {}, {}, {}))
        self._loaded_at = datetime.max.replace(tzinfo=UTC)  #: wall clock
        self._checked_at = float("-inf")
        self._tried_at = float("-inf")
        self._used: set[str] = set()
        self._noted_at = clock.monotonic()
        self._thread = PeriodicThread("key-ring", CHECK_SECONDS, self.run_once)

    def stop(self) -> None:
        """Stop checking, and store which keys were used."""
        self._thread.stop()
        self._note_used()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener`, in the checking thread, whenever a principal may have become invalid."""
        self._listeners.append(listener)

    def run_once(self) -> None:
        """Check for changes. While the database is unavailable, known keys stay valid for a minute."""
        try:
            with wait_limit(READ_SECONDS):
                self.refresh()
        except DatabaseUnavailable as error:
            logger.debug("keys cannot be checked", extra={"problem": error.detail})
            # Keys may expire in the meantime, and so does the trust in them.
            self._notify()
        if self._clock.monotonic() - self._noted_at >= USE_SECONDS:
            self._note_used()

    def refresh(self) -> None:
        """Load changes and drop expired credentials. Raises DatabaseUnavailable."""
        with self._lock:
            began = self._tried_at = self._clock.monotonic()
            now, was_set_back = self._clock.now(), self._clock.now() < self._loaded_at
            if was_set_back:
                # Perhaps before this start: a session created with a clock far ahead would last too long.
                with suppress(DatabaseUnavailable):
                    self._store.bound_sessions(now + SESSION + SET_BACK, now + SESSION)
            has_changed = was_set_back or self._store.version() != self._mirror.known.version or self._has_expired()
            if has_changed:
                self._mirror, self._loaded_at = _mirror(self._store.load(now)), now
            self._checked_at = began
        if has_changed:
            self._notify()

    def _has_expired(self) -> bool:
        next_end = self._mirror.known.next_end
        return next_end is not None and next_end <= self._clock.now()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()

    def seconds_until_reload(self) -> float:
        """Return the seconds until an unknown key may cause another check."""
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
        """Return the principal of a key.

        Raises KeyExpired, KeyRevoked, KeysUnknown, or WrongKey for an unknown one.
        """
        principal = self._find(hash_of(key), _show_key)
        if principal.key_id is not None:
            self._used.add(principal.key_id)
        return principal

    def find_session(self, cookie: str) -> Principal:
        """Return the principal of a session cookie. Raises the errors of `find_key`."""
        return self._find(hash_of(cookie), _show_session)

    def find_again(self, key_id: str | None, session: str | None) -> Principal:
        """Return the principal of a ticket, by its key or session. Raises the errors of `find_key`."""
        if session is not None:
            return self._find(session, _show_session)
        return self._find(self._mirror.hashes.get(key_id or "", ""), _show_key)

    def use_ticket(self, ticket: str) -> Principal:
        """Use up a ticket and return its principal. Waits for the database.

        Raises WrongTicket, DatabaseUnavailable, and the errors of `find_key` for its key or session.
        """
        found = self._store.use_ticket(hash_of(ticket), self._clock.now())
        if found is None:
            raise WrongTicket
        try:
            principal = self.find_again(*found)
        except WrongKey:
            # Another server has just created the key or session.
            self.refresh()
            principal = self.find_again(*found)
        return replace(principal, credential=Credential.TICKET)

    def why_ended(self, principal: Principal) -> ServiceError | None:
        """Return why a principal would no longer be accepted, or None.

        Its key or session has ended, or has fewer permissions than before.
        """
        if principal.credential is Credential.NONE:
            return None
        try:
            present = self.find_again(principal.key_id, principal.session)
        except (Unauthenticated, KeysUnknown) as error:
            return error
        return None if principal.permissions <= present.permissions else Forbidden()

    def quota_of(self, user_id: str) -> Quota:
        """Return the quota of a user."""
        return self._mirror.known.quotas.get(user_id, self._defaults).or_else(self._defaults)

    def may(self, user_id: str, permission: Permission) -> bool:
        """Return whether any active key or session of a user has a permission.

        Raises DatabaseUnavailable before the first check.
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
        if self._clock.monotonic() - self._checked_at > TRUST_SECONDS:
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
    """Return when a session ends: not after its key. Raises the errors of `_show_key`."""
    if session.key_id is None:
        return session.expires_at
    # A session created at the moment of the revocation ends with the key.
    end = _show_key(mirror, mirror.hashes.get(session.key_id, "")).expires_at
    return session.expires_at if end is None else min(session.expires_at, end)


def _refusal(key: AccessKey | None) -> Unauthenticated:
    if key is None:
        return WrongKey()
    return KeyExpired() if key.revoked_at is None else KeyRevoked()
