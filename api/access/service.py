"""Keys, users and sessions: create, list, replace and end them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from api.access.authority import Authority
from api.access.key_ring import SESSION
from api.access.store import CredentialStore
from api.access.views import KeyState, KeyView, NewKey, Ticket, UserView, WhoAmI
from api.domain.access.audit import note_change
from api.domain.access.principal import (
    AccessKey,
    Permission,
    Principal,
    Role,
    Session,
    User,
    is_reserved,
)
from api.domain.finding import TIME_NOT_IN_FUTURE, make_finding
from api.domain.tasks.usage import Usage
from api.errors import DatabaseUnavailable, FindingText, Forbidden, Invalid, KeyNotFound, UserNotFound, WrongKey
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.pagination import Page, PageRequest, paginate
from api.util.text.key_format import KEY, KEY_ID, claimed_key_id, hash_of, new_key, new_token

#: The time within which a browser must return from the OpenID Connect provider.
SIGN_IN = timedelta(minutes=10)

#: The lifetime of an unused ticket.
TICKET = timedelta(seconds=30)

#: The default seconds for which a replaced key stays valid.
OVERLAP_SECONDS = 3600

#: Returns the usage of users by their ids. Raises DatabaseUnavailable.
UsageOf = Callable[[Iterable[str]], Mapping[str, Usage]]

_READS = frozenset({Permission.GPUS_READ, Permission.PROCESSES_READ, Permission.TRAINING_READ, Permission.LOGS_READ})
_WRITES = frozenset({Permission.TRAINING_WRITE, Permission.GPUS_REGISTER})


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A request for a key, with either a role or permissions."""

    user_id: str
    name: str | None = None  #: None: the user's id
    role: Role | None = None
    permissions: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    quota: Mapping[str, float | None] | None = None  #: changed bounds of the user; others stay


class AccessService:
    """Keys, users and sessions. Changes take effect here immediately, on other servers within a second."""

    def __init__(
        self, store: CredentialStore, authority: Authority, clock: Clock, usage_of: UsageOf | None = None
    ) -> None:
        """`usage_of` None: usage is unknown."""
        self._store = store
        self._authority = authority
        self._ring = authority.ring
        self._clock = clock
        self._usage_of = usage_of

    @property
    def needs_keys(self) -> bool:
        """Whether every request requires authentication."""
        return self._authority.needs_keys

    # -- keys ------------------------------------------------------------------------------------------------------

    def generate(self, wanted: KeyRequest, by: Principal) -> NewKey:
        """Create a key. Raises Invalid, or Forbidden if it has more permissions than `by`."""
        now = self._clock.now()
        if is_reserved(wanted.user_id):
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/user_id",
                        FindingText("user_name_reserved", "is reserved for the service; choose another name"),
                    )
                ]
            )
        if claimed_key_id(wanted.user_id) is not None:
            # Every user may see the names of users.
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/user_id",
                        FindingText("user_name_is_key", "looks like a key; give the name of the user instead"),
                    )
                ]
            )
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise Invalid(mistakes=[make_finding("/expires_at", TIME_NOT_IN_FUTURE)])
        key_id, secret = new_key()
        key = AccessKey(
            key_id=key_id,
            user_id=wanted.user_id,
            name=wanted.name or wanted.user_id,
            role=wanted.role,
            permissions=wanted.permissions,
            created_at=now,
            created_by=by.actor,
            expires_at=wanted.expires_at,
        )
        self._require_grantable(key, by)
        self._store.add(key, hash_of(secret), wanted.quota)
        self._ring.run_once()
        return self._show_new(key, secret)

    def get_page(self, user_id: str | None, state: KeyState | None, page: PageRequest) -> Page[KeyView]:
        """Return keys of this user in this state, newest first. Keys are never deleted, so each has a fixed number."""
        now = self._clock.now()
        numbered = list(enumerate(reversed(self._store.list()), start=1))[::-1]
        found = [
            (number, key)
            for number, key in numbered
            if user_id in (None, key.user_id) and state in (None, _state_of(key, now))
        ]
        return paginate(found, lambda row: row[0], page, descending=True).map(lambda row: self._show(row[1]))

    def get(self, key_id: str) -> KeyView:
        """Return the key with this id. Raises KeyNotFound."""
        return self._show(self._find(key_id))

    def rotate(self, key_id: str, overlap_seconds: float, by: Principal) -> NewKey:
        """Create a key with the same permissions and the same lifetime.

        The old key ends after the overlap. Raises KeyNotFound, KeyEnded, or Forbidden if it has more permissions than
        `by`.
        """
        old, now = self._find(key_id), self._clock.now()
        self._require_grantable(old, by)
        new_id, secret = new_key()
        successor = AccessKey(
            key_id=new_id,
            user_id=old.user_id,
            name=old.name,
            role=old.role,
            permissions=old.permissions,
            created_at=now,
            created_by=by.actor,
            expires_at=None if old.expires_at is None else now + (old.expires_at - old.created_at),
        )
        self._store.rotate(key_id, successor, hash_of(secret), now + timedelta(seconds=overlap_seconds))
        self._ring.run_once()
        return self._show_new(successor, secret)

    def reissue(self, key_id: str, by: Principal) -> NewKey:
        """Replace the secret of an unused key, whose first secret was lost with its response.

        A used key keeps its secret, which is not shown again. Raises KeyNotFound, Forbidden.
        """
        key, (_, secret) = self._find(key_id), new_key(key_id)
        self._require_grantable(key, by)
        if not self._store.reissue(key_id, hash_of(secret)):
            return replace(self._show_new(key, secret), api_key=None)
        self._ring.run_once()
        return self._show_new(key, secret)

    def revoke(self, key_id: str, by: Principal, *, force: bool = False) -> KeyView:
        """End a key; a revoked one stays as it is.

        Raises KeyNotFound, Forbidden if only an administrator may do that, or LastAdministrator for the only
        administrator's key without `force`.
        """
        key = self._find(key_id)
        if Permission.KEYS_MANAGE in key.granted and not key.granted <= by.permissions:
            raise Forbidden(
                "This key manages keys and has more permissions than yours. Ask an administrator to revoke it."
            )
        revoked = self._store.revoke(key_id, by.actor, self._clock.now(), keeps_administrator=not force)
        self._ring.run_once()
        return self._show(revoked)

    def _find(self, key_id: str) -> AccessKey:
        if not KEY_ID.fullmatch(key_id):
            raise KeyNotFound(f'There is no key with the id "{key_id[:80]}".')
        return self._store.get(key_id)

    def _require_grantable(self, key: AccessKey, by: Principal) -> None:
        """Raise Forbidden if the key has permissions that `by` lacks, in general or for another user's tasks."""
        needed = set(key.granted)
        if key.user_id != by.owner and any(user.user_id == key.user_id for user in self._store.users()):
            if needed & _WRITES:
                needed.add(Permission.TASKS_WRITE_ANY)
            if needed & _READS and not self._authority.sees_all(by):
                needed.add(Permission.TASKS_READ_ANY)
        missing = sorted(needed - by.permissions)
        if missing:
            raise Forbidden(
                "A key can have no more permissions than the key that creates it, nor more for tasks of another user. "
                f"Missing: {', '.join(missing)}.",
                data={"missing_permissions": missing},
            )

    def _show_new(self, key: AccessKey, secret: str) -> NewKey:
        return copy_fields(NewKey, self._show(key), api_key=secret)

    def _show(self, key: AccessKey) -> KeyView:
        state, permissions = _state_of(key, self._clock.now()), tuple(sorted(key.granted))
        return copy_fields(KeyView, key, state=state, permissions=permissions)

    # -- users -----------------------------------------------------------------------------------------------------

    def get_users(self) -> tuple[UserView, ...]:
        """Return every user who has a key, by name."""
        now = self._clock.now()
        active = Counter(key.user_id for key in self._store.list() if key.holds(now))
        users = self._store.users()
        usage = self._usage([user.user_id for user in users])
        return tuple(_show_user(user, usage.get(user.user_id), active[user.user_id]) for user in users)

    def change_quota(self, user_id: str, changes: Mapping[str, float | None]) -> UserView:
        """Change a user's quota; None removes a bound. Raises UserNotFound."""
        if "\0" in user_id:
            raise UserNotFound
        user, now = self._store.change_quota(user_id, changes), self._clock.now()
        self._ring.run_once()
        active = sum(key.holds(now) for key in self._store.list(user_id))
        return _show_user(user, self._usage([user_id]).get(user_id), active)

    def _usage(self, user_ids: Sequence[str]) -> Mapping[str, Usage]:
        """Return the usage of these users; empty while the database is unavailable, so that `whoami` still works."""
        with suppress(DatabaseUnavailable):
            return {} if self._usage_of is None else self._usage_of(user_ids)
        return {}

    @property
    def auth(self) -> str:
        """Whether keys are required: "off" or "required"."""
        return "required" if self.needs_keys else "off"

    # -- sessions --------------------------------------------------------------------------------------------------

    def who_am_i(self, principal: Principal) -> WhoAmI:
        """Return a principal's user, permissions, quota and usage."""
        return copy_fields(
            WhoAmI,
            principal,
            permissions=tuple(sorted(principal.permissions)),
            quota=self._ring.quota_of(principal.user_id),
            usage=self._usage([principal.user_id]).get(principal.user_id),
            auth=self.auth,
        )

    def log_in(self, key: str) -> tuple[str, WhoAmI]:
        """Start a session; return the cookie's value and the user. Raises Unauthenticated, DatabaseUnavailable."""
        note_change(about=claimed_key_id(key))
        if not KEY.fullmatch(key):
            raise WrongKey("This is not a key: keys start with dp_ and have 59 characters.")
        # Another server may have created or revoked the key a moment ago.
        self._ring.refresh()
        principal, now = self._ring.find_key(key), self._clock.now()
        cookie = new_token()
        ends = [now + SESSION, *([principal.expires_at] if principal.expires_at is not None else [])]
        session = Session(
            hash=hash_of(cookie),
            user_id=principal.user_id,
            name=principal.name,
            role=principal.role,
            permissions=None if principal.role is not None else tuple(sorted(principal.permissions)),
            key_id=principal.key_id,
            created_at=now,
            expires_at=min(ends),
        )
        self._store.add_session(session, self._clock.steady.now())
        self._ring.refresh()
        return cookie, self.who_am_i(self._ring.find_session(cookie))

    def begin_session(self, session: Session) -> None:
        """Start the session of a user whom the provider authenticated. Raises DatabaseUnavailable."""
        self._store.note_user(session.user_id, session.created_at)
        self._store.add_session(session, self._clock.steady.now())
        self._ring.refresh()

    def log_out(self, principal: Principal) -> None:
        """End the session of a principal, if it has one."""
        if principal.session is not None:
            self._store.end_session(principal.session)
            self._ring.run_once()

    def make_ticket(self, principal: Principal) -> Ticket:
        """Create a ticket, with which a client can open one stream as this principal within 30 s."""
        now, ticket = self._clock.now(), new_token()
        self._store.add_ticket(hash_of(ticket), principal.key_id, principal.session, now, now + TICKET)
        return Ticket(ticket, now + TICKET)


def _state_of(key: AccessKey, now: datetime) -> KeyState:
    if key.revoked_at is not None:
        return KeyState.REVOKED
    return KeyState.ACTIVE if key.holds(now) else KeyState.EXPIRED


def _show_user(user: User, usage: Usage | None, active_keys: int) -> UserView:
    return UserView(user.user_id, user.quota, usage, active_keys, user.created_at)
