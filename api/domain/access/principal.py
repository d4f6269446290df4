"""Principals, roles, permissions and quotas."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum

from api.domain.access import audit


class Permission(StrEnum):
    """One permission of a principal."""

    GPUS_READ = "gpus:read"  #: GPUs, their history and events, the system overview, metrics
    PROCESSES_READ = "processes:read"  #: the command lines of processes on the GPUs
    NODES_REPORT = "nodes:report"  #: send reports to this head; for the keys of nodes
    GPUS_REGISTER = "gpus:register"  #: register programs that were started outside, and change one's own registrations
    TRAINING_READ = "training:read"  #: trainings, their metrics, events and files
    TRAINING_WRITE = "training:write"  #: start trainings, and change one's own
    LOGS_READ = "logs:read"  #: the logs of tasks
    DATASETS_READ = "datasets:read"  #: datasets, their versions, items and media
    DATASETS_WRITE = "datasets:write"  #: create datasets, upload into them, and change one's own
    MODELS_READ = "models:read"  #: models, their versions and files
    MODELS_WRITE = "models:write"  #: inspect weights files, download models, and create and change versions
    TASKS_READ_ANY = "tasks:read_any"  #: other users' tasks, if VISIBILITY=own hides them
    TASKS_WRITE_ANY = "tasks:write_any"  #: change other users' tasks and registrations
    ALERTS_READ = "alerts:read"  #: alerts, rules, silences, channels without their addresses
    ALERTS_WRITE = "alerts:write"  #: acknowledge and silence alerts
    ALERTS_MANAGE = "alerts:manage"  #: rules, channels and deliveries
    SYSTEM_READ = "system:read"  #: the service's own log, the servers, and orphans
    SYSTEM_WRITE = "system:write"  #: stop orphans, and hold the queue, GPUs and nodes
    KEYS_MANAGE = "keys:manage"  #: keys, users and their quotas
    AUDIT_READ = "audit:read"  #: the audit


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

#: Names for several permissions, which keys of earlier versions may contain.
PERMISSION_GROUPS: dict[str, frozenset[Permission]] = {
    "training": frozenset(
        {Permission.GPUS_READ, Permission.TRAINING_READ, Permission.TRAINING_WRITE, Permission.LOGS_READ}
    ),
    "preprocessing": frozenset({Permission.GPUS_READ, Permission.DATASETS_READ, Permission.DATASETS_WRITE}),
    "model_download": frozenset({Permission.GPUS_READ, Permission.MODELS_READ, Permission.MODELS_WRITE}),
}


def expand_permissions(names: Iterable[str]) -> frozenset[Permission]:
    """Return the permissions with these names, including groups. Names from a newer version grant nothing."""
    found: set[Permission] = set()
    for word in names:
        if word in PERMISSION_GROUPS:
            found |= PERMISSION_GROUPS[word]
        elif word in _WORDS:
            found.add(_WORDS[word])
    return frozenset(found)


def granted_by(role: Role | None, names: Iterable[str] | None) -> frozenset[Permission]:
    """Return the permissions of a role, or of a list of names if there is one."""
    if names is not None:
        return expand_permissions(names)
    return frozenset() if role is None else ROLE_PERMISSIONS[role]


class Credential(StrEnum):
    """How a principal authenticated."""

    NONE = "none"  #: the service has no keys: every local client may do everything
    KEY = "key"
    SESSION = "session"  #: the page's cookie
    TICKET = "ticket"  #: for one stream
    COMMAND = "command"  #: a command on the machine, run by the service's own user


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated user of a request, with permissions."""

    user_id: str
    role: Role | None  #: None: the permissions are listed individually
    permissions: frozenset[Permission]
    credential: Credential
    key_id: str | None = None  #: the key used; None without a key, as after signing in by OIDC
    session: str | None = None  #: hash of the session
    name: str | None = None  #: display name
    expires_at: datetime | None = None

    def may(self, permission: Permission) -> bool:
        """Return whether it has this permission."""
        return permission in self.permissions

    def may_see(self, owner: str | None, shared: bool) -> bool:
        """Return whether it may see what a user has saved and possibly shared, such as a preset."""
        return shared or owner == self.owner or self.may(Permission.TASKS_READ_ANY)

    def may_change(self, owner: str | None) -> bool:
        """Return whether it may change what a user has saved."""
        return owner == self.owner or self.may(Permission.TASKS_WRITE_ANY)

    @property
    def reader(self) -> str | None:
        """The user whose private things a list may contain; None: those of all users."""
        return None if self.may(Permission.TASKS_READ_ANY) else self.user_id

    @property
    def owner(self) -> str | None:
        """The owner of resources that it creates. None if the service has no keys."""
        return None if self.credential is Credential.NONE else self.user_id

    @property
    def actor(self) -> str:
        """Its name in events."""
        return API_ACTOR if self.credential is Credential.NONE else self.user_id


#: The actor of requests to a service without keys.
API_ACTOR = "api"

#: The principal of all requests to a service that listens on loopback only and has no keys.
LOCAL = Principal("local", Role.ADMIN, frozenset(Permission), Credential.NONE)

#: The principal of requests to public routes.
ANONYMOUS = Principal("nobody", None, frozenset(), Credential.NONE)

#: The principal of commands that create and revoke keys on the machine itself.
OPERATOR = Principal(audit.OPERATOR, Role.ADMIN, frozenset(Permission), Credential.COMMAND)

#: Stands for the current user where lists are filtered by owner.
ME = "me"

#: Pattern of a user id, and names reserved for the service and its events.
USER_ID = r"[A-Za-z0-9][A-Za-z0-9._@\-]{0,63}"
_RESERVED_USER_IDS = frozenset({API_ACTOR, LOCAL.user_id, ANONYMOUS.user_id, OPERATOR.user_id, audit.SERVICE, ME})


def is_reserved(user_id: str) -> bool:
    """Return whether the service uses this name itself, in any letter case."""
    return user_id.lower() in _RESERVED_USER_IDS


#: The principal of the current request, set by the HTTP layer. Outside of a request it is the service.
current_principal: ContextVar[Principal] = ContextVar("current_principal", default=LOCAL)


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of a user. None: no limit."""

    gpus: int | None = None  #: at a time
    queued_tasks: int | None = None  #: waiting tasks at a time
    gpu_hours_per_day: float | None = None  #: in the last 24 h
    storage_gb: float | None = None  #: size of the files of the user's tasks

    def or_else(self, defaults: "Quota") -> "Quota":
        """Return this quota, with missing limits taken from the defaults."""
        own = {each.name: getattr(self, each.name) for each in fields(Quota)}
        return replace(defaults, **{name: bound for name, bound in own.items() if bound is not None})


@dataclass(frozen=True, slots=True)
class User:
    """A person or program that has keys."""

    user_id: str
    quota: Quota
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key as stored, with a hash instead of its secret."""

    key_id: str
    user_id: str
    name: str
    role: Role | None
    permissions: tuple[str, ...] | None  #: permission names it was created with; None: those of its role
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    rotated_to: str | None = None  #: the key that replaces it

    @property
    def granted(self) -> frozenset[Permission]:
        """Its permissions."""
        return granted_by(self.role, self.permissions)

    def holds(self, now: datetime) -> bool:
        """Return whether it is valid at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in to the page. `key_id` is None after OIDC; otherwise the session ends with that key."""

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
        """Its permissions."""
        return granted_by(self.role, self.permissions)
