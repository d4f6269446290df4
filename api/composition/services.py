"""The services that routes call."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.access.audit import AuditTrail
from api.access.service import AccessService
from api.alerts.channels import ChannelService
from api.alerts.idle_ends import IdleEnds
from api.alerts.rules import RuleService
from api.alerts.service import AlertService
from api.catalog.downloads import DownloadService
from api.catalog.examination import WeightsExaminer
from api.catalog.pushes import PushService
from api.catalog.registry import Registry
from api.catalog.samples import Samples
from api.catalog.service import CatalogService
from api.catalog.settings import SettingsService
from api.datasets.as_trained import AsTrained
from api.datasets.cache_list import DatasetCacheList
from api.datasets.caption_edits import CaptionEditor
from api.datasets.captioning import CaptioningService
from api.datasets.check import DatasetChecker
from api.datasets.export import DatasetExport
from api.datasets.form_uploads import FormUploads
from api.datasets.item_edits import ItemEditor
from api.datasets.items import DatasetItems, ItemFiles
from api.datasets.preprocessing import PreprocessingService
from api.datasets.registered_directories import RegisteredDirectories
from api.datasets.service import DatasetService
from api.datasets.splitting import DatasetSplitter
from api.datasets.thumbnails import Thumbnails
from api.datasets.uploads import UploadService
from api.gpus.service import GPUService
from api.logs.service import LogService
from api.nodes.servers import ServerList
from api.nodes.service import NodeService
from api.presets.service import PresetService
from api.sampling.service import SampleSetService, WorkflowService
from api.system.files_service import FileBrowser
from api.system.service import SystemService
from api.system.settings_service import RunTimeSettings
from api.system.setup_service import SetupService
from api.training.attempts.orphans import Orphans
from api.training.changes import TrainingChanges
from api.training.checkpoint_saving import CheckpointSaving
from api.training.comfyui_links import ComfyModels
from api.training.comparison import TrainingComparison
from api.training.details import TrainingDetails, TrainingPages
from api.training.exports import Exports
from api.training.holds import Holds
from api.training.power_limits import PowerLimits
from api.training.retention import Retention
from api.training.sample_rendering import SampleRendering
from api.training.samples import TrainingSamples
from api.training.schedule_service import ScheduleService
from api.training.service import TrainingService
from api.training.sweeps import Sweeps
from api.training.task_stops import TrainingStops
from api.training.training_files import TrainingFiles
from api.util.clock import Clock
from api.web.idempotency import IdempotencyStore

if TYPE_CHECKING:
    from api.access.oidc import OIDC


@dataclass(frozen=True, slots=True)
class Services:
    """The services, built once by the composition root."""

    gpus: GPUService
    training: TrainingService
    trainings: TrainingPages
    details: TrainingDetails
    changes: TrainingChanges
    stops: TrainingStops
    training_files: TrainingFiles
    saving: CheckpointSaving
    exports: Exports
    training_samples: TrainingSamples
    sample_rendering: SampleRendering
    comfyui_links: ComfyModels
    comparison: TrainingComparison
    sweeps: Sweeps
    retention: Retention
    datasets: DatasetService
    registered: RegisteredDirectories
    items: DatasetItems
    captions: CaptionEditor
    item_edits: ItemEditor
    splits: DatasetSplitter
    caches: DatasetCacheList
    uploads: UploadService
    forms: FormUploads
    checker: DatasetChecker
    thumbnails: Thumbnails
    item_files: ItemFiles
    as_trained: AsTrained
    preprocessing: PreprocessingService
    captioning: CaptioningService
    export: DatasetExport
    logs: LogService
    models: CatalogService
    examiner: WeightsExaminer
    settings: SettingsService
    presets: PresetService
    sample_sets: SampleSetService
    workflows: WorkflowService
    run_time_settings: RunTimeSettings
    files: FileBrowser
    setup: SetupService
    registry: Registry
    samples: Samples
    downloads: DownloadService
    pushes: PushService
    system: SystemService
    nodes: NodeService
    servers: ServerList
    orphans: Orphans
    holds: Holds
    schedule: ScheduleService
    power_limits: PowerLimits
    access: AccessService
    oidc: "OIDC | None"  #: None: no provider is configured
    idempotency: IdempotencyStore
    audit: AuditTrail
    alerts: AlertService
    rules: RuleService
    idle_ends: IdleEnds
    channels: ChannelService
    clock: Clock
