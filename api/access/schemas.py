"""What requests about keys and people may hold, and what their answers look like."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from api.access.service import OVERLAP_SECONDS, KeyRequest
from api.access.views import KeyState, KeyView, NewKey, SignInWays, Ticket, UserView, WhoAmI
from api.domain.access import PERMISSION_GROUPS, USER_ID, Permission, Role
from api.util.pagination import Pagination
from api.util.suggestions import nearest
from api.util.validation import Strict
from api.web.schemas import (
    Envelope,
    Name,
    PageQuery,
    Shown,
    Time,
    at_least_one,
    at_most_one,
    utc,
    whole,
)

#: What a list of permissions may hold: permissions, and names of several at once.
WORDS = (*(permission.value for permission in Permission), *PERMISSION_GROUPS)

#: The longest overlap of a rotation, in seconds: 30 days.
MAX_OVERLAP = 30 * 86_400

_ONE_WAY: list[JsonValue] = [at_most_one("role", "permissions"), at_least_one("role", "permissions")]


def _known_word(word: str) -> str:
    if word in WORDS:
        return word
    close = nearest(word, WORDS)
    raise ValueError(
        f'is no permission; did you mean "{close}"?' if close else f"is no permission; known are: {', '.join(WORDS)}"
    )


UserId = Annotated[str, Field(pattern=f"^{USER_ID}$")]
Word = Annotated[str, Field(max_length=64), AfterValidator(_known_word), Field(json_schema_extra={"enum": list(WORDS)})]
Count = Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(whole)]
Amount = Annotated[float, Field(ge=0, le=1e9)]


class QuotaBounds(Strict):
    """What a user may use at most. null takes a bound away, and what is not given stays as it is."""

    model_config = ConfigDict(strict=True)

    gpus: Count | None = Field(None, description="GPUs at a time")
    queued_tasks: Count | None = Field(None, description="tasks that wait")
    gpu_hours_per_day: Amount | None = Field(None, description="in the last 24 h")
    storage_gb: Amount | None = Field(None, description="of the files of their tasks")

    def changes(self) -> dict[str, float | None]:
        """The bounds that are given."""
        return self.model_dump(exclude_unset=True)


class GenerateKey(Strict):
    """A key, with a role or with permissions of its own."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"example": {"user_id": "anna", "name": "laptop", "role": "trainer"}, "allOf": _ONE_WAY},
    )

    user_id: UserId = Field(description="whom it is for; what it makes belongs to them")
    name: Name | None = Field(None, description="what people call it; the user_id unless it is given")
    role: Role | None = Field(None, strict=False, description="viewer, trainer or admin; instead of permissions")
    permissions: list[Word] | None = Field(
        None, min_length=1, max_length=100, description="permissions and groups of them; instead of role"
    )
    expires_at: Time | None = Field(None, strict=False, description="in the future; never unless it is given")
    quota: QuotaBounds | None = Field(None, description="what the user may use, by all their keys together")

    @model_validator(mode="after")
    def _one_way(self) -> "GenerateKey":
        if (self.role is None) == (self.permissions is None):
            raise ValueError("give either role or permissions")
        return self

    def request(self) -> KeyRequest:
        """The request as the service takes it."""
        return KeyRequest(
            user_id=self.user_id,
            name=self.name,
            role=self.role,
            permissions=None if self.permissions is None else tuple(dict.fromkeys(self.permissions)),
            expires_at=None if self.expires_at is None else utc(self.expires_at),
            quota=None if self.quota is None else self.quota.changes(),
        )


class RotateKey(Strict):
    """Says how a key is to be replaced."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"overlap_seconds": 600}})

    overlap_seconds: float = Field(OVERLAP_SECONDS, ge=0, le=MAX_OVERLAP, description="how long the old key holds on")


class KeyListQuery(PageQuery):
    """Says which keys are wanted."""

    user_id: UserId | None = Field(None, description="only of this user")
    state: KeyState | None = Field(None, description="only in this state")


class RevokeQuery(Strict):
    """Says how a key is to be revoked."""

    force: bool = Field(False, description="also the only key that may do everything")


class LogIn(Strict):
    """A key to sign in with."""

    model_config = ConfigDict(strict=True)

    key: str = Field(max_length=1000, description="dp_…")


class SignInQuery(Strict):
    """Says where to go after signing in."""

    next: str = Field("/", max_length=2000, description="an address of the page; what is none becomes /")


class ChangeUser(Strict):
    """What is to be changed of a user."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"quota": {"gpus": 2}}})

    quota: QuotaBounds


class KeyList(Shown):
    """Keys, newest first."""

    keys: list[KeyView]
    pagination: Pagination


class UserList(Shown):
    """Users, by name."""

    users: list[UserView]


class NewKeyAnswer(Envelope[NewKey]):
    """A new key."""


class KeyAnswer(Envelope[KeyView]):
    """One key."""


class KeyListAnswer(Envelope[KeyList]):
    """Keys."""


class WhoAmIAnswer(Envelope[WhoAmI]):
    """Who asks."""


class TicketAnswer(Envelope[Ticket]):
    """A ticket."""


class UserAnswer(Envelope[UserView]):
    """One user."""


class UserListAnswer(Envelope[UserList]):
    """Users."""


class LoggedOutAnswer(Envelope[None]):
    """Nobody is signed in any more."""


class SignInWaysAnswer(Envelope[SignInWays]):
    """How people can sign in."""
