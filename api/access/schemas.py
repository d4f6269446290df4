"""Schemas of requests and responses about keys and users."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from api.access.service import OVERLAP_SECONDS, KeyRequest
from api.access.views import KeyState, KeyView, UserView
from api.domain.access.audit import AuditFilter, AuditOutcome, AuditRow
from api.domain.access.principal import PERMISSION_GROUPS, USER_ID, Permission, Role
from api.util.http.pagination import CURSOR, DEFAULT_LIMIT, PageRequest, Pagination
from api.util.http.validation import Strict
from api.util.text.suggestions import nearest
from api.web.schemas import (
    Duration,
    Name,
    PageQuery,
    Shown,
    Time,
    at_least_one,
    at_most_one,
    moment,
    utc,
    whole,
)

#: The valid items of a list of permissions: permissions, and names of groups of them.
PERMISSION_NAMES = (*(permission.value for permission in Permission), *PERMISSION_GROUPS)

#: The longest overlap of a rotation, in seconds: 30 days.
MAX_OVERLAP = 30 * 86_400

_ONE_WAY: list[JsonValue] = [at_most_one("role", "permissions"), at_least_one("role", "permissions")]


def _known_permission(word: str) -> str:
    if word in PERMISSION_NAMES:
        return word
    close = nearest(word, PERMISSION_NAMES)
    if close:
        raise PydanticCustomError(
            "value_permission_similar", 'is not a permission; did you mean "{close}"?', {"close": close}
        )
    raise PydanticCustomError(
        "value_not_permission", "is not a permission; valid are: {names}", {"names": ", ".join(PERMISSION_NAMES)}
    )


UserId = Annotated[str, Field(pattern=f"^{USER_ID}$")]
PermissionName = Annotated[
    str,
    Field(max_length=64),
    AfterValidator(_known_permission),
    Field(json_schema_extra={"enum": list(PERMISSION_NAMES)}),
]
Count = Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(whole)]
Amount = Annotated[float, Field(ge=0, le=1e9)]


class QuotaBounds(Strict):
    """Bounds of a user's quota. null removes a bound; a bound that is not given stays as it is."""

    model_config = ConfigDict(strict=True)

    gpus: Count | None = Field(None, description="GPUs in use at a time")
    queued_tasks: Count | None = Field(None, description="queued tasks")
    gpu_hours_per_day: Amount | None = Field(None, description="GPU hours in the last 24 h")
    storage_gb: Amount | None = Field(None, description="GB of the files of their tasks")

    def changes(self) -> dict[str, float | None]:
        """Return the given bounds."""
        return self.model_dump(exclude_unset=True)


class GenerateKey(Strict):
    """A new key, with a role or with a list of permissions."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"example": {"user_id": "anna", "name": "laptop", "role": "trainer"}, "allOf": _ONE_WAY},
    )

    user_id: UserId = Field(description="the user; resources created with the key belong to them")
    name: Name | None = Field(None, description="a name for the key; by default the user_id")
    role: Role | None = Field(None, strict=False, description="viewer, trainer or admin; instead of permissions")
    permissions: list[PermissionName] | None = Field(
        None, min_length=1, max_length=100, description="permissions and groups of them; instead of role"
    )
    expires_at: Time | None = Field(None, strict=False, description="a time in the future; by default never")
    quota: QuotaBounds | None = Field(None, description="bounds for all keys of the user together")

    @model_validator(mode="after")
    def _one_way(self) -> "GenerateKey":
        if (self.role is None) == (self.permissions is None):
            raise PydanticCustomError("value_role_or_permissions", "give either role or permissions")
        return self

    def request(self) -> KeyRequest:
        """Return the request for the service."""
        return KeyRequest(
            user_id=self.user_id,
            name=self.name,
            role=self.role,
            permissions=None if self.permissions is None else tuple(dict.fromkeys(self.permissions)),
            expires_at=None if self.expires_at is None else utc(self.expires_at),
            quota=None if self.quota is None else self.quota.changes(),
        )


class RotateKey(Strict):
    """How to replace a key."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"overlap_seconds": 600}})

    overlap_seconds: float = Field(
        OVERLAP_SECONDS, ge=0, le=MAX_OVERLAP, description="seconds for which the old key stays valid"
    )


class KeyListQuery(PageQuery):
    """Filters for keys."""

    user_id: UserId | None = Field(None, description="only keys of this user")
    state: KeyState | None = Field(None, description="only keys in this state")


class RevokeQuery(Strict):
    """How to revoke a key."""

    force: bool = Field(False, description="revoke even the only administrator's key")


class LogIn(Strict):
    """A key to sign in with."""

    model_config = ConfigDict(strict=True)

    key: str = Field(max_length=1000, description="dp_…")


class SignInQuery(Strict):
    """Where to go after signing in."""

    next: str = Field("/", max_length=2000, description="an address of the page; any other counts as /")


class ChangeUser(Strict):
    """Changes of a user."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"quota": {"gpus": 2}}})

    quota: QuotaBounds  #: limits to change; null in it removes a limit


class KeyList(Shown):
    """Keys, newest first."""

    keys: list[KeyView]
    pagination: Pagination


class UserList(Shown):
    """Users, by name."""

    users: list[UserView]  #: all users that have or had a key


_Text = Annotated[str, Field(min_length=1, max_length=200)]


class AuditQuery(Strict):
    """Filters for audit rows; all of them must match."""

    actor: _Text | None = Field(None, description="only actions and refusals of this user")
    operation: _Text | None = Field(None, description="only operations whose method and address contain this text")
    object: _Text | None = Field(None, description="only actions on the task, key or user with this id")
    outcome: AuditOutcome | None = Field(None, description="only entries with this outcome")
    since: Time | Duration | None = Field(None, description="only since then: a time, or a duration before now")
    until: Time | None = Field(None, description="only before this time")
    limit: int = Field(DEFAULT_LIMIT, ge=1, description="rows per page; values above 500 count as 500")
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the previous page")

    def wanted(self, now: datetime) -> AuditFilter:
        """Return the filter for the service."""
        since = None if self.since is None else moment(self.since, now)
        until = None if self.until is None else moment(self.until, now)
        return AuditFilter(self.actor, None, self.object, self.outcome, since, until)

    def page(self) -> PageRequest:
        """Return the requested page."""
        return PageRequest(limit=self.limit, cursor=self.cursor)


class VerifyQuery(Strict):
    """Where to start the verification, and an anchor."""

    cursor: str | None = Field(None, pattern=CURSOR, description="continue here: `next_cursor` of the previous part")
    anchor: str | None = Field(
        None,
        pattern=r"^[0-9]{1,18}:[0-9a-f]{64}$",
        description="`id:hash` from a log line stored elsewhere; that row must still have this hash",
    )

    def after(self) -> int | None:
        """Return the id of the row after which the verification starts, or None."""
        return None if self.cursor is None else int(self.cursor)

    def known(self) -> tuple[int, str] | None:
        """Return the id and the hash of the anchor, or None."""
        if self.anchor is None:
            return None
        id_, _, hash_ = self.anchor.partition(":")
        return int(id_), hash_


class AuditPage(Shown):
    """A page of audit rows."""

    entries: list[AuditRow]
    pagination: Pagination
