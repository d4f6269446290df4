"""The keys and sessions that hold, in memory: a request asks no database, and a revocation holds within a second."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from api.errors import DatabaseUnavailable, KeyExpired, KeyRevoked, KeysUnknown, SessionEnded, Unauthenticated, WrongKey
from api.models.access import AccessKey, Credential, Principal, Quota, Session
from api.services.access.key_format import hash_of
from api.storage.keys import CredentialStore, KnownCredentials
from api.utils.clock import Clock
from api.utils.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two looks for changes: a revocation holds everywhere within a second.
LOOK_SECONDS = 0.5

#: Seconds for which keys hold that could not be looked at again: a minute, and the time that it takes to notice.
TRUST_SECONDS = 65.0

#: Seconds between two notes of when keys were last used.
USE_SECONDS = 60.0

#: Seconds between two looks that an unknown key may cause: it may have been made on another server a moment ago.
EAGER_SECONDS = 0.2

_NOTHING = KnownCredentials(-1, {}, {}, {}, {})


class KeyRing:
    """A mirror of the keys and sessions in the database, which any thread may ask."""

    def __init__(
        self,
        store: CredentialStore,
        clock: Clock,
        on_change: Callable[[], None] = lambda: None,
        defaults: Quota | None = None,
    ) -> None:
        """`on_change` is called in the thread that found a change, after it holds; `defaults` is what a user may use
        whose own quota does not say.
        """
        self._store = store
        self._clock = clock
        self._listeners = [on_change]
        self._defaults = defaults or Quota()
        self._lock = threading.Lock()
        self._known = _NOTHING
        self._principals: dict[str, Principal] = {}
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
        """Has `listener` called after each change."""
        self._listeners.append(listener)

    def run_once(self) -> None:
        """Looks for changes. While the database does not answer, what is known holds for a minute."""
        try:
            self.refresh()
        except DatabaseUnavailable as error:
            logger.debug("keys cannot be looked at", extra={"problem": error.detail})
        if self._clock.monotonic() - self._noted_at >= USE_SECONDS:
            self._note_used()

    def refresh(self) -> None:
        """Takes up what was changed. Raises DatabaseUnavailable."""
        with self._lock:
            began = self._tried_at = self._clock.monotonic()
            has_changed = self._store.version() != self._known.version
            if has_changed:
                self._known, self._principals = self._store.load(self._clock.now()), {}
            self._looked_at = began
        if has_changed:
            for listener in self._listeners:
                listener()

    def may_look(self) -> bool:
        """Whether an unknown key may have been made since the last look, so that another one is worth while."""
        return self._clock.monotonic() - self._tried_at >= EAGER_SECONDS

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
        principal = self._find(hash_of(key), self._show_key)
        if principal.key_id is not None:
            self._used.add(principal.key_id)
        return principal

    def find_session(self, cookie: str) -> Principal:
        """Whom a cookie of the page belongs to. Raises as `find_key` does."""
        return self._find(hash_of(cookie), self._show_session)

    def find_again(self, key_id: str | None, session: str | None) -> Principal:
        """Whom a ticket belongs to, by the key or session that it was made with. Raises as `find_key` does."""
        if session is not None:
            return self._find(session, self._show_session)
        hash_ = next((hash_ for hash_, key in self._known.keys.items() if key.key_id == key_id), "")
        return self._find(hash_, self._show_key)

    def holds(self, principal: Principal) -> bool:
        """Whether the key or session behind a principal still holds; where neither is, it always does."""
        if principal.credential is Credential.NONE:
            return True
        try:
            self.find_again(principal.key_id, principal.session)
        except (Unauthenticated, KeysUnknown):
            return False
        return True

    def quota_of(self, user_id: str) -> Quota:
        """What a user may use at most."""
        return self._known.quotas.get(user_id, self._defaults).or_else(self._defaults)

    def _find(self, hash_: str, show: Callable[[str], Principal]) -> Principal:
        if self._clock.monotonic() - self._looked_at > TRUST_SECONDS:
            raise KeysUnknown(headers={"Retry-After": "2"})
        principal = self._principals.get(hash_)
        if principal is None:
            principal = self._principals[hash_] = show(hash_)
        if principal.expires_at is not None and principal.expires_at <= self._clock.now():
            raise KeyExpired
        return principal

    def _show_key(self, hash_: str) -> Principal:
        key = self._known.keys.get(hash_)
        if key is None:
            raise _refusal(self._known.ended.get(hash_))
        return Principal(
            key.user_id, key.role, key.granted, Credential.KEY, key.key_id, name=key.name, expires_at=key.expires_at
        )

    def _show_session(self, hash_: str) -> Principal:
        session = self._known.sessions.get(hash_)
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
            self._end_of(session),
        )

    def _end_of(self, session: Session) -> datetime:
        """When a session ends: no later than the key that it began with."""
        ends = [key.expires_at for key in self._known.keys.values() if key.key_id == session.key_id]
        return min([session.expires_at, *(end for end in ends if end is not None)])


def _refusal(key: AccessKey | None) -> Unauthenticated:
    if key is None:
        return WrongKey()
    return KeyExpired() if key.revoked_at is None else KeyRevoked()
