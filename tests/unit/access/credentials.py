"""Keys and sessions for tests, with defaults for values that a test does not need."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from api.access.store import CredentialStore
from api.domain.access.principal import AccessKey, Credential, Permission, Principal, Role, Session, granted_by
from api.util.clock import FakeClock
from api.util.text.key_format import hash_of, new_key, new_token


def principal(
    user_id: str = "ann", role: Role | None = Role.TRAINER, permissions: Iterable[Permission] | None = None
) -> Principal:
    """Return an authenticated principal."""
    granted = granted_by(role, None) if permissions is None else frozenset(permissions)
    return Principal(user_id, role if permissions is None else None, granted, Credential.KEY, "k")


@dataclass(frozen=True)
class Credentials:
    """Creates credentials in a store."""

    store: CredentialStore
    clock: FakeClock

    def key(
        self,
        user_id: str = "ann",
        role: Role | None = Role.TRAINER,
        permissions: tuple[str, ...] | None = None,
        seconds: float | None = None,
    ) -> tuple[AccessKey, str]:
        """Return a new key as it is stored, and its secret; it expires after so many seconds."""
        key_id, shown = new_key()
        now = self.clock.now()
        expires_at = None if seconds is None else now + timedelta(seconds=seconds)
        made = AccessKey(key_id, user_id, "a key", role, permissions, now, "test", expires_at)
        self.store.add(made, hash_of(shown))
        return made, shown

    def session(self, key: AccessKey | None = None, seconds: float = 3600, role: Role = Role.TRAINER) -> str:
        """Return the cookie of a new session, started with this key or by OIDC."""
        cookie, now = new_token(), self.clock.now()
        user_id = "ann" if key is None else key.user_id
        key_id = None if key is None else key.key_id
        expires_at = now + timedelta(seconds=seconds)
        self.store.add_session(Session(hash_of(cookie), user_id, None, role, None, key_id, now, expires_at), now)
        return cookie
