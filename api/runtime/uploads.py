"""The parts that uploads need, put together; a part of the composition root."""

from datetime import timedelta

from api.archives.expander import Expander
from api.archives.limits import ArchiveLimits
from api.config import Config
from api.models.media import Decoder
from api.models.upload import UploadKind
from api.runtime.datasets import DatasetParts
from api.runtime.models import RegistryParts
from api.services.catalog.model_uploads import ModelUploads
from api.services.datasets.form_uploads import FormUploads
from api.services.datasets.intake import UploadIntake
from api.services.datasets.joining import Joining
from api.services.datasets.service import NoBound, StorageBound
from api.services.datasets.uploads import UploadLimits, UploadService
from api.storage.database import Database
from api.storage.media_facts import MediaFactsStore
from api.storage.upload_files import UploadFiles
from api.storage.uploads import UploadStore
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.utils.clock import Clock

_MB = 1024 * 1024


class UploadParts:
    """What takes uploads in, and what makes datasets of them. Building it starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        datasets: DatasetParts,
        decoder: Decoder,
        clock: Clock,
        bound: StorageBound | None = None,
        registry: RegistryParts | None = None,
    ) -> None:
        """`bound` None: nobody has a quota. `registry` None: models are not taken."""
        min_free = config.min_free_disk_mb * _MB
        files = UploadFiles(datasets.blobs.root / "uploads")
        store = UploadStore(database, datasets.blobs.identity)
        limits = UploadLimits(config.max_upload_bytes, min_free, timedelta(hours=config.upload_hours))
        self.service = UploadService(store, files, datasets.service, bound or NoBound(), limits, clock)
        joining = Joining(datasets.service, datasets.blobs, decoder, MediaFactsStore(database), files, clock)
        expander = Expander(ArchiveLimits(total=config.max_upload_bytes, min_free=min_free))
        self.intake = UploadIntake(self.service, store, files, joining, expander, clock)
        self.forms = FormUploads(self.service, store, self.intake.progress, clock)
        if registry is not None:
            models = ModelUploads(registry.service, registry.store, registry.blobs, files, CATALOG, clock)
            for kind, taker in ((UploadKind.MODEL, models), (UploadKind.SAMPLE, registry.samples)):
                self.service.take_also(kind, taker.check)
                self.intake.make_with(kind, taker.take)
