"""Builds the parts of uploads."""

from datetime import timedelta

from api.catalog.model_uploads import ModelUploads
from api.composition.datasets import DatasetParts
from api.composition.models import RegistryParts
from api.config import Config
from api.datasets.form_uploads import FormUploads
from api.datasets.intake import UploadProcessor
from api.datasets.joining import Joining
from api.datasets.media_facts import MediaFactsStore
from api.datasets.service import NoQuota, StorageQuota
from api.datasets.upload_store import UploadStore
from api.datasets.uploads import UploadLimits, UploadService
from api.db.database import Database
from api.domain.media import Decoder
from api.domain.upload import UploadKind
from api.files.archives.expander import Expander
from api.files.archives.limits import ArchiveLimits
from api.files.upload_files import UploadFiles
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.util.clock import Clock

_MB = 1024 * 1024


class UploadParts:
    """Receives uploads and turns them into datasets. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        datasets: DatasetParts,
        decoder: Decoder,
        clock: Clock,
        bound: StorageQuota | None = None,
        registry: RegistryParts | None = None,
    ) -> None:
        """`bound` checks quotas; None: no quotas. `registry` None: models cannot be uploaded."""
        min_free = config.min_free_disk_mb * _MB
        files = UploadFiles(datasets.blobs.root / "uploads")
        store = UploadStore(database, datasets.blobs.identity)
        limits = UploadLimits(config.max_upload_bytes, min_free, timedelta(hours=config.upload_hours))
        self.service = UploadService(store, files, datasets.service, bound or NoQuota(), limits, clock)
        joining = Joining(datasets.service, datasets.blobs, decoder, MediaFactsStore(database), files, clock)
        expander = Expander(ArchiveLimits(total=config.max_upload_bytes, min_free=min_free))
        self.intake = UploadProcessor(self.service, store, files, joining, expander, clock)
        self.forms = FormUploads(self.service, store, self.intake.progress, clock)
        if registry is not None:
            models = ModelUploads(registry.service, registry.store, registry.blobs, files, CATALOG, clock)
            for kind, taker in ((UploadKind.MODEL, models), (UploadKind.SAMPLE, registry.samples)):
                self.service.accept_kind(kind, taker.check)
                self.intake.set_handler(kind, taker.take)
