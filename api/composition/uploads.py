"""The parts that uploads need, put together; a part of the composition root."""

from datetime import timedelta

from api.catalog.model_uploads import ModelUploads
from api.composition.datasets import DatasetParts
from api.composition.models import RegistryParts
from api.config import Config
from api.datasets.form_uploads import FormUploads
from api.datasets.intake import UploadIntake
from api.datasets.joining import Joining
from api.datasets.media_facts import MediaFactsStore
from api.datasets.service import NoBound, StorageBound
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
