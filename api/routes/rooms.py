"""Which blueprints answer below which address: each room is loaded when the first request enters it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from api.utils.base_path import BASE_PATH

if TYPE_CHECKING:
    from flask import Blueprint


class Room(NamedTuple):
    """What answers below some addresses."""

    name: str
    firsts: tuple[str, ...]  #: the first parts of its addresses, below /api/v1 or without it
    load: "Callable[[], tuple[Blueprint, ...]]"


def room_at(path: str) -> str:
    """The name of the room that answers at this address."""
    first = path.removeprefix(BASE_PATH).removeprefix("/").partition("/")[0]
    return _NAMES.get(first, _PAGE.name)


def _load_page() -> "tuple[Blueprint, ...]":
    # Loaded when a browser comes: 0.1 MB.
    from api.routes.dashboard import dashboard  # noqa: PLC0415

    return (dashboard,)


def _load_machine() -> "tuple[Blueprint, ...]":
    # Loaded with the first request that no ready document answers: 0.5 MB.
    from api.routes.gpu import gpu  # noqa: PLC0415
    from api.routes.health import health  # noqa: PLC0415
    from api.routes.logs import logs  # noqa: PLC0415
    from api.routes.nodes import nodes  # noqa: PLC0415
    from api.routes.system import system  # noqa: PLC0415

    return health, gpu, nodes, logs, system


def _load_training() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about trainings: 0.5 MB.
    from api.routes.logs import logs  # noqa: PLC0415
    from api.routes.training import training  # noqa: PLC0415

    return training, logs


def _load_data() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about datasets: 0.5 MB.
    from api.routes.dataset_items import dataset_items  # noqa: PLC0415
    from api.routes.dataset_media import dataset_media  # noqa: PLC0415
    from api.routes.datasets import datasets  # noqa: PLC0415
    from api.routes.preprocess import preprocess  # noqa: PLC0415
    from api.routes.uploads import uploads  # noqa: PLC0415

    return datasets, dataset_items, dataset_media, uploads, preprocess


def _load_models() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about models: 0.5 MB.
    from api.routes.downloads import downloads  # noqa: PLC0415
    from api.routes.models import models  # noqa: PLC0415
    from api.routes.pushes import pushes  # noqa: PLC0415
    from api.routes.registry import registry  # noqa: PLC0415
    from api.routes.samples import samples  # noqa: PLC0415

    return models, registry, samples, downloads, pushes


def _load_alerts() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about alerts: 0.5 MB.
    from api.routes.alerts import alerts  # noqa: PLC0415

    return (alerts,)


def _load_access() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about keys: 0.5 MB.
    from api.routes.audit import audit  # noqa: PLC0415
    from api.routes.auth import auth  # noqa: PLC0415
    from api.routes.oidc import oidc  # noqa: PLC0415

    return auth, oidc, audit


def load_all() -> "tuple[Blueprint, ...]":
    """Everything: the OpenAPI document is about all of it."""
    # Loaded with the OpenAPI document: 0.1 MB.
    from api.routes.docs import docs  # noqa: PLC0415

    health, gpu, nodes, logs, system = _load_machine()
    training, _ = _load_training()
    data = (*_load_data(), *_load_models(), *_load_alerts())
    return health, gpu, training, logs, *data, *_load_access(), nodes, system, docs, *_load_page()


_PAGE = Room("page", ("", "dashboard", "favicon.ico"), _load_page)

ROOMS = (
    Room("machine", ("gpu", "nodes", "health", "metrics", "system"), _load_machine),
    Room("training", ("training", "logs"), _load_training),
    Room("data", ("datasets", "uploads", "preprocess"), _load_data),
    Room("models", ("models",), _load_models),
    Room("alerts", ("alerts",), _load_alerts),
    Room("access", ("auth",), _load_access),
    Room("docs", ("docs", "openapi.json"), load_all),
    _PAGE,
)

_NAMES = {first: room.name for room in ROOMS for first in room.firsts}
