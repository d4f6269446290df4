"""Keys, people and sign-ins as the API shows them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.access import Permission, Quota, Role
from api.domain.usage import Usage


class KeyState(StrEnum):
    """Whether a key can be used."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """A key without its secret."""

    key_id: str
    user_id: str
    name: str
    role: Role | None  #: null: a list of permissions of its own
    permissions: tuple[Permission, ...]  #: what it permits
    state: KeyState
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None  #: to the minute
    revoked_at: datetime | None
    revoked_by: str | None
    rotated_to: str | None  #: the key that follows it


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(KeyView):
    """A new key. `api_key` is shown this once: null where the answer is given again."""

    api_key: str | None


@dataclass(frozen=True, slots=True)
class UserView:
    """Somebody whom keys were made for."""

    user_id: str
    quota: Quota
    usage: Usage | None  #: null: not known at present, or nobody is asked for keys
    active_keys: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Who asks, and what they may do."""

    user_id: str
    name: str | None  #: of the key
    role: Role | None  #: null: a list of permissions of its own
    permissions: tuple[Permission, ...]
    key_id: str | None
    expires_at: datetime | None
    quota: Quota  #: with the bounds for everybody where the user's own has none
    usage: Usage | None  #: null: not known at present, or nobody is asked for keys
    auth: str  #: off: nobody is asked who they are; or required


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a stream takes in place of a key, once."""

    ticket: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignInWays:
    """How people can sign in at the page."""

    auth: str  #: off: nobody is asked who they are; or required
    oidc: str | None  #: where to sign in by OpenID Connect; null: nowhere
