"""Keys, users and sessions as the API shows them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.access.principal import Permission, Quota, Role
from api.domain.tasks.usage import Usage


class KeyState(StrEnum):
    """The state of a key."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """A key without its secret."""

    key_id: str
    user_id: str
    name: str  #: for people
    role: Role | None  #: null: an individual list of permissions
    permissions: tuple[Permission, ...]  #: all permissions, also those of the role
    state: KeyState  #: whether it is valid now
    created_at: datetime
    created_by: str  #: user that created it
    expires_at: datetime | None  #: null: never
    last_used_at: datetime | None  #: to the minute
    revoked_at: datetime | None  #: null: not revoked
    revoked_by: str | None  #: null: not revoked
    rotated_to: str | None  #: the key that replaced it


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(KeyView):
    """A new key. `api_key` is shown once; it is null in the response to a retry."""

    api_key: str | None  #: the key itself, which is not stored; null in the response to a retry


@dataclass(frozen=True, slots=True)
class UserView:
    """A user who has or had a key."""

    user_id: str
    quota: Quota  #: limits; a null field means no limit
    usage: Usage | None  #: null: unknown at present, or no keys are required
    active_keys: int  #: number of valid keys
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """The current user and their permissions."""

    user_id: str
    name: str | None  #: of the key
    role: Role | None  #: null: an individual list of permissions
    permissions: tuple[Permission, ...]  #: everything that this key permits
    key_id: str | None  #: null if no key was used
    expires_at: datetime | None  #: end of the key or session; null: never
    quota: Quota  #: with the defaults for bounds that the user's own quota lacks
    usage: Usage | None  #: null: unknown at present, or no keys are required
    auth: str  #: "off": no keys are required; or "required"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A replacement for a key in the address of a stream, valid once."""

    ticket: str  #: value for the query parameter `ticket`
    expires_at: datetime  #: end of its validity


@dataclass(frozen=True, slots=True)
class SignInMethods:
    """The ways to sign in to the page."""

    auth: str  #: "off": no keys are required; or "required"
    oidc: str | None  #: the address of the sign-in by OpenID Connect; null without a provider
