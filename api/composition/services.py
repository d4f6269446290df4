"""The services that routes call: a group for each package, built by the package's module of the composition."""

from dataclasses import dataclass

from api.composition.access import AccessServices
from api.composition.alerts import AlertServices
from api.composition.library import CatalogServices, DatasetServices
from api.composition.sampling import SampleServices
from api.composition.training import TrainingServices
from api.gpus.power.service import PowerLimits
from api.gpus.service import GPUService
from api.logs.service import LogService
from api.nodes.servers import ServerList
from api.nodes.service import NodeService
from api.presets.service import PresetService
from api.system.files_service import FileBrowser
from api.system.service import SystemService
from api.system.settings_service import RunTimeSettings
from api.system.setup_service import SetupService
from api.util.clock import Clock
from api.web.idempotency import IdempotencyStore


@dataclass(frozen=True, slots=True)
class GPUServices:
    """The services of GPUs."""

    service: GPUService
    power_limits: PowerLimits


@dataclass(frozen=True, slots=True)
class SystemServices:
    """The services of the whole installation."""

    service: SystemService
    settings: RunTimeSettings
    files: FileBrowser
    setup: SetupService


@dataclass(frozen=True, slots=True)
class NodeServices:
    """The services of machines and servers."""

    service: NodeService
    servers: ServerList


@dataclass(frozen=True, slots=True)
class Services:
    """The services, built once: `services().training.sweeps`. The main one of a package is its `service`."""

    training: TrainingServices
    samples: SampleServices
    gpus: GPUServices
    datasets: DatasetServices
    catalog: CatalogServices
    presets: PresetService
    logs: LogService
    system: SystemServices
    nodes: NodeServices
    access: AccessServices
    alerts: AlertServices
    idempotency: IdempotencyStore
    clock: Clock
