"""Who asks, and what they may do: principals, roles, permissions, quotas."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum

from api.domain import audit


class Permission(StrEnum):
    """One thing that a principal may do."""

    GPUS_READ = "gpus:read"  #: GPUs, their history and events, the machine at a glance, metrics
    PROCESSES_READ = "processes:read"  #: the command lines of processes on the GPUs
    NODES_REPORT = "nodes:report"  #: to tell this head of a machine's GPUs: what a node's key is for
    GPUS_REGISTER = "gpus:register"  #: to register programs that were started outside, and change one's own
    TRAINING_READ = "training:read"  #: trainings, their metrics, events and files
    TRAINING_WRITE = "training:write"  #: to start trainings, and change one's own
    LOGS_READ = "logs:read"  #: the logs of tasks
    DATASETS_READ = "datasets:read"  #: datasets, their versions, items and media
    DATASETS_WRITE = "datasets:write"  #: to make datasets, upload into them, and change one's own
    MODELS_READ = "models:read"  #: models, their versions and files
    MODELS_WRITE = "models:write"  #: to look into files of weights, download models, and make and change versions
    TASKS_READ_ANY = "tasks:read_any"  #: other people's tasks where VISIBILITY=own hides them
    TASKS_WRITE_ANY = "tasks:write_any"  #: to change other people's tasks and registrations
    ALERTS_READ = "alerts:read"  #: what fires, rules, silences, channels without their addresses
    ALERTS_WRITE = "alerts:write"  #: to acknowledge alerts and to silence them
    ALERTS_MANAGE = "alerts:manage"  #: rules and channels, and what became of each message
    SYSTEM_READ = "system:read"  #: the service's own log, the servers, and attempts that no task knows
    SYSTEM_WRITE = "system:write"  #: to end attempts that no task knows, and to hold queue, GPUs and machines back
    KEYS_MANAGE = "keys:manage"  #: keys, people and their quotas
    AUDIT_READ = "audit:read"  #: who did what


_WORDS = {permission.value: permission for permission in Permission}


class Role(StrEnum):
    """A named set of permissions."""

    VIEWER = "viewer"
    TRAINER = "trainer"
    ADMIN = "admin"


_VIEWER = frozenset(
    {
        Permission.GPUS_READ,
        Permission.PROCESSES_READ,
        Permission.TRAINING_READ,
        Permission.LOGS_READ,
        Permission.DATASETS_READ,
        Permission.MODELS_READ,
        Permission.ALERTS_READ,
    }
)
_TRAINER = _VIEWER | {
    Permission.GPUS_REGISTER,
    Permission.TRAINING_WRITE,
    Permission.DATASETS_WRITE,
    Permission.MODELS_WRITE,
    Permission.ALERTS_WRITE,
}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.TRAINER: _TRAINER,
    Role.ADMIN: frozenset(Permission),
}

#: Names of several permissions at once, which an earlier server's keys were made with.
PERMISSION_GROUPS: dict[str, frozenset[Permission]] = {
    "training": frozenset(
        {Permission.GPUS_READ, Permission.TRAINING_READ, Permission.TRAINING_WRITE, Permission.LOGS_READ}
    ),
    "preprocessing": frozenset({Permission.GPUS_READ, Permission.DATASETS_READ, Permission.DATASETS_WRITE}),
    "model_download": frozenset({Permission.GPUS_READ, Permission.MODELS_READ, Permission.MODELS_WRITE}),
}


def expand_permissions(words: Iterable[str]) -> frozenset[Permission]:
    """The permissions that these words name, groups among them. A word of a newer version gives nothing."""
    found: set[Permission] = set()
    for word in words:
        if word in PERMISSION_GROUPS:
            found |= PERMISSION_GROUPS[word]
        elif word in _WORDS:
            found.add(_WORDS[word])
    return frozenset(found)


def granted_by(role: Role | None, words: Iterable[str] | None) -> frozenset[Permission]:
    """What a role permits, or a list of words in its place."""
    if words is not None:
        return expand_permissions(words)
    return frozenset() if role is None else ROLE_PERMISSIONS[role]


class Credential(StrEnum):
    """By what a principal has shown who it is."""

    NONE = "none"  #: a service that asks nobody: everyone at this machine may do everything
    KEY = "key"
    SESSION = "session"  #: the page's cookie
    TICKET = "ticket"  #: for one stream
    COMMAND = "command"  #: a command at the machine, run by the service's own user


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a user, by the key or session that was shown, with what it permits."""

    user_id: str
    role: Role | None  #: None: a list of permissions of its own
    permissions: frozenset[Permission]
    credential: Credential
    key_id: str | None = None  #: the key behind it; None where there is none, as after signing in by OIDC
    session: str | None = None  #: the hash of the session behind it
    name: str | None = None  #: what people call it
    expires_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """Whether it has this permission."""
        return permission in self.permissions

    @property
    def owner(self) -> str | None:
        """Whom the things that it makes belong to; None where nobody is asked for who they are."""
        return None if self.credential is Credential.NONE else self.user_id

    @property
    def actor(self) -> str:
        """Its name in events."""
        return ANYBODY if self.credential is Credential.NONE else self.user_id


#: The actor of what was asked of a service without keys.
ANYBODY = "api"

#: Everybody, for a service that listens on loopback only and has no keys.
LOCAL = Principal("local", Role.ADMIN, frozenset(Permission), Credential.NONE)

#: Who asks for what is open to everybody.
NOBODY = Principal("nobody", None, frozenset(), Credential.NONE)

#: Who makes and ends keys at the machine itself.
OPERATOR = Principal(audit.OPERATOR, Role.ADMIN, frozenset(Permission), Credential.COMMAND)

#: Whoever asks, where lists are filtered by an owner.
ME = "me"

#: What a user can be called, and the names that the service and its events use for somebody without a key.
USER_ID = r"[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}"
_RESERVED_USER_IDS = frozenset({ANYBODY, LOCAL.user_id, NOBODY.user_id, OPERATOR.user_id, audit.SERVICE, ME})


def is_reserved(user_id: str) -> bool:
    """Whether nobody can be called so: the service uses the name itself, and no other letter case of it deceives."""
    return user_id.lower() in _RESERVED_USER_IDS


#: The principal of the request that is being answered. The shell sets it; outside of a request it is the service.
current_principal: ContextVar[Principal] = ContextVar("current_principal", default=LOCAL)


@dataclass(frozen=True, slots=True)
class Quota:
    """What a user may use at most; None: without a bound."""

    gpus: int | None = None  #: GPUs at a time
    queued_tasks: int | None = None
    gpu_hours_per_day: float | None = None  #: in the last 24 h
    storage_gb: float | None = None  #: of the files of one's tasks

    def or_else(self, defaults: "Quota") -> "Quota":
        """This quota, with the bounds of another where it has none."""
        own = {each.name: getattr(self, each.name) for each in fields(Quota)}
        return replace(defaults, **{name: bound for name, bound in own.items() if bound is not None})


@dataclass(frozen=True, slots=True)
class User:
    """A person or program that keys are made for."""

    user_id: str
    quota: Quota
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key as it is kept: without its secret, of which only a hash is known."""

    key_id: str
    user_id: str
    name: str
    role: Role | None
    permissions: tuple[str, ...] | None  #: the words that it was made with; None: those of its role
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    rotated_to: str | None = None  #: the key that follows it

    @property
    def granted(self) -> frozenset[Permission]:
        """What it permits."""
        return granted_by(self.role, self.permissions)

    def holds(self, now: datetime) -> bool:
        """Whether it can be used at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in at the page. `key_id` None: by OIDC; else it ends with that key."""

    hash: str
    user_id: str
    name: str | None
    role: Role | None
    permissions: tuple[str, ...] | None
    key_id: str | None
    created_at: datetime
    expires_at: datetime

    @property
    def granted(self) -> frozenset[Permission]:
        """What it permits."""
        return granted_by(self.role, self.permissions)
