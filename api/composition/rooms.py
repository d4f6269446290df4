"""Which blueprints answer below which address: each room is loaded when the first request enters it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from api.util.base_path import BASE_PATH

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
    from api.web.page_routes import dashboard  # noqa: PLC0415

    return (dashboard,)


def _load_machine() -> "tuple[Blueprint, ...]":
    # Loaded with the first request that no ready document answers: 0.5 MB.
    from api.gpus.routes import gpu  # noqa: PLC0415
    from api.logs.routes import logs  # noqa: PLC0415
    from api.nodes.routes import nodes  # noqa: PLC0415
    from api.system.health_routes import health  # noqa: PLC0415
    from api.system.routes import system  # noqa: PLC0415

    return health, gpu, nodes, logs, system


def _load_training() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about trainings: 0.5 MB.
    from api.logs.routes import logs  # noqa: PLC0415
    from api.training.routes import training  # noqa: PLC0415

    return training, logs


def _load_data() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about datasets: 0.5 MB.
    from api.datasets.item_routes import dataset_items  # noqa: PLC0415
    from api.datasets.media_routes import dataset_media  # noqa: PLC0415
    from api.datasets.preprocess_routes import preprocess  # noqa: PLC0415
    from api.datasets.routes import datasets  # noqa: PLC0415
    from api.datasets.upload_routes import uploads  # noqa: PLC0415

    return datasets, dataset_items, dataset_media, uploads, preprocess


def _load_models() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about models: 0.5 MB.
    from api.catalog.download_routes import downloads  # noqa: PLC0415
    from api.catalog.push_routes import pushes  # noqa: PLC0415
    from api.catalog.registry_routes import registry  # noqa: PLC0415
    from api.catalog.routes import models  # noqa: PLC0415
    from api.catalog.sample_routes import samples  # noqa: PLC0415

    return models, registry, samples, downloads, pushes


def _load_alerts() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about alerts: 0.5 MB.
    from api.alerts.routes import alerts  # noqa: PLC0415

    return (alerts,)


def _load_access() -> "tuple[Blueprint, ...]":
    # Loaded with the first request about keys: 0.5 MB.
    from api.access.audit_routes import audit  # noqa: PLC0415
    from api.access.oidc_routes import oidc  # noqa: PLC0415
    from api.access.routes import auth  # noqa: PLC0415

    return auth, oidc, audit


def load_all() -> "tuple[Blueprint, ...]":
    """Everything: the OpenAPI document is about all of it."""
    # Loaded with the OpenAPI document: 0.1 MB.
    from api.web.docs_routes import docs  # noqa: PLC0415

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
