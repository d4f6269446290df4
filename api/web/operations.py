"""The table of permissions: what each operation requires, and which one an address names. All others are rejected."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from api.domain.access.principal import Permission
from api.errors import NotFound
from api.util.http.base_path import BASE_PATH


class ResourceKind(StrEnum):
    """The kind of owned resource that an operation's address names."""

    TASK = "task_id of a training"
    REGISTRATION = "task_id of a registration"
    DATASET = "name of a dataset"
    MODEL = "name of a registered model"

    @property
    def argument(self) -> str:
        """The name of the variable part of the address."""
        return "name" if self in (ResourceKind.DATASET, ResourceKind.MODEL) else "task_id"


class RateGroup(StrEnum):
    """Operations that share one rate limit per key."""

    AUTH = "auth"
    STARTS = "starts"
    LOGS = "logs"
    PREPROCESSING = "preprocessing"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one address, and its requirements."""

    method: str
    pattern: str  #: the address as a Flask URL pattern
    permission: Permission | None  #: None: any authenticated principal
    is_open: bool = False  #: requires no authentication
    resource_kind: ResourceKind | None = None
    rate: RateGroup | None = None
    is_read_only: bool = False  #: a POST that changes nothing

    @property
    def name(self) -> str:
        """The operation's name: method and address."""
        return f"{self.method} {self.pattern}"

    @property
    def is_get(self) -> bool:
        """Whether it is a GET, which also serves HEAD."""
        return self.method == "GET"

    @property
    def changes(self) -> bool:
        """Whether it changes something. Only the owner and administrators may change an owned resource."""
        return self.method not in ("GET", "WEBSOCKET") and not self.is_read_only


def _open(*addresses: str, rate: RateGroup | None = None) -> list[Operation]:
    return [_one(address, None, is_open=True, rate=rate) for address in addresses]


def _need(permission: Permission | None, *addresses: str, rate: RateGroup | None = None) -> list[Operation]:
    return [_one(address, permission, rate=rate) for address in addresses]


def _of(
    resource_kind: ResourceKind,
    permission: Permission,
    *addresses: str,
    rate: RateGroup | None = None,
    is_read_only: bool = False,
) -> list[Operation]:
    return [
        _one(each, permission, resource_kind=resource_kind, rate=rate, is_read_only=is_read_only) for each in addresses
    ]


def _one(
    address: str,
    permission: Permission | None,
    *,
    is_open: bool = False,
    resource_kind: ResourceKind | None = None,
    rate: RateGroup | None = None,
    is_read_only: bool = False,
) -> Operation:
    method, _, path = address.partition(" ")
    return Operation(method, path.replace("~", BASE_PATH, 1), permission, is_open, resource_kind, rate, is_read_only)


#: In these addresses ~ stands for /api/v1.
_TABLE = (
    # The page contains no data of users, and its sign-in must be reachable.
    *_open("GET /", "GET /dashboard/<digest>/<path:name>", "GET /favicon.ico", "GET /health", "GET /health/ready"),
    *_need(None, "GET /docs", "GET /docs/assets/<path:name>", "GET /docs/start.js", "GET /openapi.json"),
    *_need(
        Permission.GPUS_READ,
        "GET ~/gpu/status",
        "GET ~/gpu/available",
        "GET ~/gpu/summary",
        "GET ~/gpu/events",
        "GET ~/gpu/<gpu_id>",
        "GET ~/gpu/<gpu_id>/details",
        "GET ~/gpu/<gpu_id>/history",
        "GET ~/gpu/stream",
        "WEBSOCKET ~/ws/gpu",
        "GET ~/gpu/tasks",
        "GET ~/system/overview",
        "GET ~/nodes",
        "GET ~/nodes/<name>",
        "GET ~/metrics",
        "GET /metrics",
    ),
    *_need(Permission.NODES_REPORT, "POST ~/nodes/<name>/report"),
    *_need(Permission.PROCESSES_READ, "GET ~/gpu/<gpu_id>/processes"),
    *_need(Permission.GPUS_REGISTER, "POST ~/gpu/tasks"),
    *_of(ResourceKind.REGISTRATION, Permission.GPUS_READ, "GET ~/gpu/tasks/<task_id>"),
    *_of(
        ResourceKind.REGISTRATION,
        Permission.GPUS_REGISTER,
        "PATCH ~/gpu/tasks/<task_id>",
        "DELETE ~/gpu/tasks/<task_id>",
    ),
    *_need(Permission.TRAINING_READ, "GET ~/training/list", "GET ~/events/stream", "WEBSOCKET ~/ws/events"),
    # The service checks the owner of each training.
    *_need(Permission.TRAINING_READ, "GET ~/training/compare"),
    *_need(Permission.TRAINING_WRITE, "POST ~/training/validate", "POST ~/models/<model_id>/convert"),
    *_need(
        Permission.TRAINING_WRITE,
        *("POST ~/training/start", "POST ~/training/cache", "POST ~/training/rehearse", "POST ~/sweeps"),
        rate=RateGroup.STARTS,
    ),
    *_of(
        ResourceKind.TASK,
        Permission.TRAINING_READ,
        "GET ~/training/<task_id>",
        "GET ~/training/<task_id>/artifacts",
        "GET ~/training/<task_id>/artifacts/<path:path>",
        "GET ~/training/<task_id>/checkpoints",
        "GET ~/training/<task_id>/events",
        "GET ~/training/<task_id>/metrics",
        "GET ~/training/<task_id>/progress",
        "GET ~/training/<task_id>/retention",
        "GET ~/training/<task_id>/retention/preview",
        "GET ~/training/<task_id>/samples",
        "GET ~/training/<task_id>/comfyui",
        "GET ~/training/<task_id>/comfyui/<checkpoint>/preview",
        "GET ~/training/<task_id>/samples/ranking",
        "GET ~/training/<task_id>/samples/sheet",
        "GET ~/training/<task_id>/samples/<sample_id>/file",
        "GET ~/training/<task_id>/samples/<sample_id>/thumbnail",
        "GET ~/training/<task_id>/events/stream",
        "WEBSOCKET ~/ws/training/<task_id>",
    ),
    *_of(
        ResourceKind.TASK,
        Permission.TRAINING_WRITE,
        "PATCH ~/training/<task_id>",
        "DELETE ~/training/<task_id>",
        "DELETE ~/training/<task_id>/checkpoints/<name>",
        "POST ~/training/<task_id>/save",
        "PATCH ~/training/<task_id>/samples/<sample_id>",
        "PUT ~/training/<task_id>/retention",
        "PUT ~/training/<task_id>/comfyui/<checkpoint>",
        "DELETE ~/training/<task_id>/comfyui/<checkpoint>",
        "PUT ~/training/<task_id>/chosen",
        "DELETE ~/training/<task_id>/chosen",
        "POST ~/training/<task_id>/stop",
        "POST ~/training/stop/<task_id>",
    ),
    # Both reuse the secrets of the task.
    *_of(
        ResourceKind.TASK,
        Permission.TRAINING_WRITE,
        "POST ~/training/restart/<task_id>",
        "POST ~/training/resume/<task_id>",
        "POST ~/training/<task_id>/export",
        "POST ~/training/<task_id>/samples",
        rate=RateGroup.STARTS,
    ),
    *_of(
        ResourceKind.TASK,
        Permission.LOGS_READ,
        "GET ~/training/<task_id>/logs",
        "GET ~/training/<task_id>/logs/download",
        "GET ~/training/<task_id>/logs/search",
        "GET ~/training/<task_id>/logs/stream",
        rate=RateGroup.LOGS,
    ),
    # The service of sweeps checks their owners itself.
    *_need(Permission.TRAINING_READ, "GET ~/sweeps", "GET ~/sweeps/<sweep_id>"),
    *_need(Permission.TRAINING_WRITE, "POST ~/sweeps/<sweep_id>/stop"),
    # The service of presets checks their owners itself: shared presets are visible to all.
    *_need(Permission.TRAINING_READ, "GET ~/presets", "GET ~/presets/<preset_id>"),
    *_need(
        Permission.TRAINING_WRITE,
        "POST ~/presets",
        "PATCH ~/presets/<preset_id>",
        "DELETE ~/presets/<preset_id>",
    ),
    # Likewise for sample sets and workflows.
    *_need(
        Permission.TRAINING_READ,
        "GET ~/sample-sets",
        "GET ~/sample-sets/<name>",
        "GET ~/workflows",
        "GET ~/workflows/<workflow_id>",
    ),
    *_need(
        Permission.TRAINING_WRITE,
        "POST ~/sample-sets",
        "PATCH ~/sample-sets/<name>",
        "DELETE ~/sample-sets/<name>",
        "POST ~/workflows",
        "POST ~/workflows/nodes",
        "DELETE ~/workflows/<workflow_id>",
    ),
    *_need(Permission.LOGS_READ, "GET ~/logs/search", rate=RateGroup.LOGS),
    *_need(Permission.DATASETS_WRITE, "POST ~/preprocess/start", rate=RateGroup.PREPROCESSING),
    *_need(Permission.DATASETS_READ, "GET ~/preprocess/list"),
    *_of(
        ResourceKind.TASK,
        Permission.DATASETS_READ,
        "GET ~/preprocess/<task_id>/events",
        "GET ~/preprocess/<task_id>/events/stream",
    ),
    *_of(
        ResourceKind.TASK,
        Permission.DATASETS_WRITE,
        "POST ~/preprocess/<task_id>/cancel",
        "DELETE ~/preprocess/<task_id>",
    ),
    *_of(
        ResourceKind.TASK,
        Permission.DATASETS_READ,
        "GET ~/preprocess/<task_id>/logs",
        "GET ~/preprocess/<task_id>/logs/download",
        "GET ~/preprocess/<task_id>/logs/search",
        "GET ~/preprocess/<task_id>/logs/stream",
        rate=RateGroup.LOGS,
    ),
    *_need(Permission.DATASETS_READ, "GET ~/datasets"),
    *_need(Permission.DATASETS_WRITE, "POST ~/datasets"),
    *_of(
        ResourceKind.DATASET,
        Permission.DATASETS_READ,
        "GET ~/datasets/<name>",
        "GET ~/datasets/<name>/versions",
        "GET ~/datasets/<name>/versions/<version>",
        "GET ~/datasets/<name>/caches",
        "GET ~/datasets/<name>/export",
        "GET ~/datasets/<name>/items",
        "GET ~/datasets/<name>/items/<item_id>",
        "GET ~/datasets/<name>/items/<item_id>/thumbnail",
        "GET ~/datasets/<name>/items/<item_id>/media",
        "GET ~/datasets/<name>/items/<item_id>/as_trained",
    ),
    *_of(ResourceKind.DATASET, Permission.DATASETS_READ, "POST ~/datasets/<name>/check", is_read_only=True),
    *_of(
        ResourceKind.DATASET,
        Permission.DATASETS_WRITE,
        "PATCH ~/datasets/<name>",
        "DELETE ~/datasets/<name>",
        "PATCH ~/datasets/<name>/items",
        "POST ~/datasets/<name>/split",
        "PATCH ~/datasets/<name>/captions",
        "POST ~/datasets/<name>/captions/generate",
        "POST ~/datasets/<name>/refresh",
        "POST ~/datasets/<name>/versions/<version>/restore",
    ),
    # The upload service checks the owner of an upload itself.
    *_need(Permission.DATASETS_READ, "GET ~/uploads", "GET ~/uploads/<upload_id>", "GET ~/preprocess/status/<task_id>"),
    *_need(Permission.DATASETS_WRITE, "POST ~/uploads", "PATCH ~/uploads/<upload_id>", "DELETE ~/uploads/<upload_id>"),
    *_need(Permission.DATASETS_WRITE, "POST ~/preprocess/upload", rate=RateGroup.PREPROCESSING),
    *_need(
        Permission.MODELS_READ,
        "GET ~/models/list",
        "GET ~/models/<model_id>/presets",
        "GET ~/models/<model_id>/presets/<name>",
        "GET ~/models/<model_id>/settings",
    ),
    *_need(Permission.MODELS_WRITE, "POST ~/models/validate", "POST ~/models/registry"),
    *_need(Permission.MODELS_READ, "GET ~/models/registry", "GET ~/models/downloads", "GET ~/models/pushes"),
    *_need(Permission.MODELS_WRITE, "POST ~/models/download", "POST ~/models/upload"),
    *_of(ResourceKind.TASK, Permission.MODELS_READ, "GET ~/models/download/<task_id>", "GET ~/models/push/<task_id>"),
    *_of(
        ResourceKind.TASK,
        Permission.MODELS_WRITE,
        "POST ~/models/download/<task_id>/pause",
        "POST ~/models/download/<task_id>/resume",
        "POST ~/models/download/<task_id>/cancel",
        "POST ~/models/push/<task_id>/pause",
        "POST ~/models/push/<task_id>/resume",
        "POST ~/models/push/<task_id>/cancel",
    ),
    *_of(
        ResourceKind.MODEL,
        Permission.MODELS_READ,
        "GET ~/models/registry/<name>",
        "GET ~/models/registry/<name>/versions",
        "GET ~/models/registry/<name>/versions/<version>",
        "GET ~/models/registry/<name>/versions/<version>/file",
        "GET ~/models/registry/<name>/versions/<version>/samples",
        "GET ~/models/registry/<name>/versions/<version>/samples/<sample_id>/file",
        "GET ~/models/registry/<name>/versions/<version>/samples/<sample_id>/thumbnail",
    ),
    *_of(
        ResourceKind.MODEL,
        Permission.MODELS_WRITE,
        "PATCH ~/models/registry/<name>",
        "DELETE ~/models/registry/<name>",
        "PATCH ~/models/registry/<name>/versions/<version>",
        "DELETE ~/models/registry/<name>/versions/<version>",
        "POST ~/models/registry/<name>/versions/<version>/metadata",
        "POST ~/models/registry/<name>/versions/<version>/push",
        "POST ~/models/registry/<name>/versions/<version>/samples",
        "DELETE ~/models/registry/<name>/versions/<version>/samples/<sample_id>",
    ),
    *_need(
        Permission.SYSTEM_READ,
        "GET ~/system/logs",
        "GET ~/system/logs/search",
        "GET ~/system/logs/stream",
        rate=RateGroup.LOGS,
    ),
    *_need(
        Permission.ALERTS_READ,
        "GET ~/alerts",
        "GET ~/alerts/<alert_id>",
        "GET ~/alerts/silences",
        "GET ~/alerts/rules",
        "GET ~/alerts/rules/<rule_id>",
        "GET ~/alerts/metrics",
        "GET ~/alerts/channels",
        "GET ~/alerts/channels/<channel_id>",
        "GET ~/alerts/stream",
    ),
    *_need(
        Permission.ALERTS_WRITE,
        "POST ~/alerts/<alert_id>/acknowledge",
        "DELETE ~/alerts/<alert_id>/acknowledge",
        "POST ~/alerts/silences",
        "DELETE ~/alerts/silences/<silence_id>",
    ),
    *_need(
        Permission.ALERTS_MANAGE,
        "POST ~/alerts/rules",
        "PATCH ~/alerts/rules/<rule_id>",
        "DELETE ~/alerts/rules/<rule_id>",
        "POST ~/alerts/channels",
        "PATCH ~/alerts/channels/<channel_id>",
        "DELETE ~/alerts/channels/<channel_id>",
        "POST ~/alerts/channels/<channel_id>/test",
        "GET ~/alerts/deliveries",
    ),
    *_open("POST ~/auth/login", "GET ~/auth/oidc/login", "GET ~/auth/oidc/callback", rate=RateGroup.AUTH),
    *_open("GET ~/auth/ways"),
    *_need(None, "GET ~/auth/whoami", "POST ~/auth/logout", "POST ~/auth/ticket", rate=RateGroup.AUTH),
    *_need(
        Permission.KEYS_MANAGE,
        "POST ~/auth/generate-key",
        "GET ~/auth/keys",
        "GET ~/auth/keys/<key_id>",
        "DELETE ~/auth/keys/<key_id>",
        "POST ~/auth/keys/<key_id>/rotate",
        "GET ~/auth/users",
        "PATCH ~/auth/users/<user_id>",
        rate=RateGroup.AUTH,
    ),
    *_need(Permission.SYSTEM_READ, "GET ~/system/servers", "GET ~/system/strays", "GET ~/system/trainer"),
    *_need(Permission.SYSTEM_READ, "GET ~/settings"),
    # Not for viewers: who names paths to the service starts trainings or registers datasets.
    *_need(Permission.DATASETS_WRITE, "GET ~/files"),
    *_need(Permission.GPUS_READ, "GET ~/system/setup"),
    *_need(Permission.GPUS_READ, "GET ~/system/holds", "GET ~/system/idle", "GET ~/schedule"),
    *_need(Permission.GPUS_READ, "GET ~/gpu/<gpu_id>/power-limit"),
    # Who may pause or claim which GPU is checked by the service of holds: trainers may do so with their own.
    *_need(Permission.TRAINING_WRITE, "POST ~/gpu/<gpu_id>/pause", "POST ~/gpu/<gpu_id>/unpause"),
    *_need(Permission.TRAINING_WRITE, "POST ~/gpu/<gpu_id>/claim", "DELETE ~/gpu/<gpu_id>/claim/<name>"),
    *_need(Permission.TRAINING_WRITE, "POST ~/system/idle/hold", "DELETE ~/system/idle/hold"),
    *_need(Permission.AUDIT_READ, "GET ~/auth/audit", "GET ~/auth/audit/verify", rate=RateGroup.AUTH),
    *_need(
        Permission.SYSTEM_WRITE,
        "PATCH ~/settings",
        "PUT ~/schedule",
        "PUT ~/gpu/<gpu_id>/power-limit",
        "DELETE ~/gpu/<gpu_id>/power-limit",
        "POST ~/system/trainer/check",
        "POST ~/system/strays/<attempt_uid>/stop",
        "POST ~/system/holds",
        "DELETE ~/system/holds/<hold_id>",
        "POST ~/nodes/<name>/drain",
        "POST ~/nodes/<name>/undrain",
        "DELETE ~/nodes/<name>",
    ),
)


class OperationTable:
    """Operations by method and address."""

    def __init__(self, operations: Iterable[Operation] = _TABLE) -> None:
        self._by_name = {(each.method, each.pattern): each for each in operations}

    def find(self, method: str, pattern: str) -> Operation | None:
        """Return the operation, or None if it is not in the table. HEAD counts as GET."""
        return self._by_name.get(("GET" if method == "HEAD" else method, pattern))

    @property
    def all(self) -> tuple[Operation, ...]:
        """Every operation."""
        return tuple(self._by_name.values())


#: A variable part of a Flask URL pattern.
_VARIABLE = re.compile(r"<(path:)?(\w+)>")


class _Pattern(NamedTuple):
    """An address with variable parts."""

    text: str
    prefix: str  #: the text before the first variable part
    methods: frozenset[str]


class AllowedMethods:
    """The methods and routes of addresses, from the table of operations, so that Flask sees only valid requests.

    The most specific pattern counts: `/training/list` is not a training with the id "list", so it does not accept the
    methods of `/training/<task_id>`, and `/training/a/samples/ranking` is not a sample.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        methods: dict[str, set[str]] = {}
        for each in operations:
            if each.method != "WEBSOCKET":
                methods.setdefault(each.pattern, {"OPTIONS"}).update(("GET", "HEAD") if each.is_get else (each.method,))
        self._fixed = {text: tuple(sorted(some)) for text, some in methods.items() if "<" not in text}
        variable = sorted(methods.keys() - self._fixed, key=_generality)
        self._variable = [_Pattern(text, text[: text.index("<")], frozenset(methods[text])) for text in variable]

    def methods(self, path: str) -> tuple[str, ...]:
        """Return the methods in alphabetical order; empty for an unknown address."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        return next((tuple(sorted(pattern.methods)) for pattern, _ in self._match(path)), ())

    def find(self, path: str, method: str) -> tuple[str, Mapping[str, str]]:
        """Return the pattern of the route with this method at this address, and the variable parts of the address.

        Raises NotFound if `methods` does not have the method.
        """
        if path in self._fixed:
            return path, {}
        pattern, arguments = next(iter(self._match(path)), (None, {}))
        if pattern is None or method not in pattern.methods:
            raise NotFound
        return pattern.text, arguments

    def _match(self, path: str) -> Iterable[tuple[_Pattern, Mapping[str, str]]]:
        for pattern in self._variable:
            if path.startswith(pattern.prefix):
                found = _expression(pattern.text).fullmatch(path)
                if found is not None:
                    yield pattern, found.groupdict()


def _generality(pattern: str) -> list[tuple[int, str]]:
    """Return a sort key by which fixed parts come before variable ones, and these before whole paths."""
    ranks = {False: 1, True: 2}
    parts = [(part, _VARIABLE.fullmatch(part)) for part in pattern.split("/")]
    return [(0, part) if found is None else (ranks[found[1] is not None], "") for part, found in parts]


# Compiled at first use: all of them take 1% of the start.
@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for found in _VARIABLE.finditer(pattern):
        # File names may contain line breaks.
        kind = "[^/]+" if found[1] is None else "[^/](?s:.*)"
        pieces += [re.escape(pattern[at : found.start()]), f"(?P<{found[2]}>{kind})"]
        at = found.end()
    return re.compile("".join([*pieces, re.escape(pattern[at:])]))
