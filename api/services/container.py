"""Everything that the routes may call, built once by the composition root."""

from typing import TYPE_CHECKING

from api.services.access.audit import AuditTrail
from api.services.access.service import AccessService
from api.services.alerts.channels import ChannelService
from api.services.alerts.rules import RuleService
from api.services.alerts.service import AlertService
from api.services.attempts.strays import Strays
from api.services.gpus.service import GPUService
from api.services.idempotency import IdempotencyStore
from api.services.logs.service import LogService
from api.services.nodes.service import NodeService
from api.services.servers import ServerList
from api.services.system import SystemService
from api.services.training.checkpoint_saving import CheckpointSaving
from api.services.training.holds import Holds
from api.services.training.service import TrainingService
from api.utils.clock import Clock
from api.utils.frozen import frozen

if TYPE_CHECKING:
    from api.services.access.oidc import OIDC
    from api.services.catalog.downloads import DownloadService
    from api.services.catalog.pushes import PushService
    from api.services.catalog.registry import Registry
    from api.services.catalog.samples import Samples
    from api.services.catalog.service import CatalogService
    from api.services.catalog.settings import SettingsService
    from api.services.datasets.as_trained import AsTrained
    from api.services.datasets.cache_list import DatasetCacheList
    from api.services.datasets.captioning import CaptioningService
    from api.services.datasets.captions import CaptionEditor
    from api.services.datasets.check import DatasetChecker
    from api.services.datasets.downloads import ItemFiles
    from api.services.datasets.export import DatasetExport
    from api.services.datasets.form_uploads import FormUploads
    from api.services.datasets.item_edits import ItemEditor
    from api.services.datasets.items import DatasetItems
    from api.services.datasets.preprocessing import PreprocessingService
    from api.services.datasets.registered_directories import RegisteredDirectories
    from api.services.datasets.service import DatasetService
    from api.services.datasets.splitting import DatasetSplitter
    from api.services.datasets.thumbnails import Thumbnails
    from api.services.datasets.uploads import UploadService


@frozen
class Services:
    """The services, one for each noun."""

    gpus: GPUService
    training: TrainingService
    saving: CheckpointSaving
    datasets: "DatasetService"
    registered: "RegisteredDirectories"
    items: "DatasetItems"
    captions: "CaptionEditor"
    item_edits: "ItemEditor"
    splits: "DatasetSplitter"
    caches: "DatasetCacheList"
    uploads: "UploadService"
    forms: "FormUploads"
    checker: "DatasetChecker"
    thumbnails: "Thumbnails"
    item_files: "ItemFiles"
    as_trained: "AsTrained"
    preprocessing: "PreprocessingService"
    captioning: "CaptioningService"
    export: "DatasetExport"
    logs: LogService
    models: "CatalogService"
    settings: "SettingsService"
    registry: "Registry"
    samples: "Samples"
    downloads: "DownloadService"
    pushes: "PushService"
    system: SystemService
    nodes: NodeService
    servers: ServerList
    strays: Strays
    holds: Holds
    access: AccessService
    oidc: "OIDC | None"  #: None: no provider is named
    idempotency: IdempotencyStore
    audit: AuditTrail
    alerts: AlertService
    rules: RuleService
    channels: ChannelService
    clock: Clock
