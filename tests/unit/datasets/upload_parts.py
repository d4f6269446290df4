"""The upload services for tests, with a decoder that has prepared answers."""

from dataclasses import dataclass, field
from datetime import timedelta

from api.datasets.items.joining import Joining
from api.datasets.records.media_facts import MediaFactsStore
from api.datasets.records.upload_store import UploadStore
from api.datasets.uploads.intake import UploadProcessor
from api.datasets.uploads.service import UploadLimits, UploadService
from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe, MediaSource
from api.domain.datasets.upload import Upload
from api.errors import QuotaExceeded
from api.files.archives.expander import Expander
from api.files.archives.limits import ArchiveLimits
from api.files.upload_files import UploadFiles
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import FakeDecoder

IMAGE = MediaFacts(MediaKind.IMAGE, "png", 8, 6, frame_count=1)


class ContentDecoder(FakeDecoder):
    """A decoder for which content that starts with PNG is an image."""

    def examine(self, source: MediaSource) -> MediaProbe:
        is_image = source.path.read_bytes().startswith(b"PNG")
        return MediaProbe(IMAGE if is_image else MediaFacts(MediaKind.OTHER))


@dataclass
class LimitedBound:
    """A quota of bytes for every user."""

    most: int = 10**9
    checked: list[tuple[str | None, int]] = field(default_factory=list)

    def require_storage(self, owner: str | None, more_bytes: int) -> None:
        self.checked.append((owner, more_bytes))
        if more_bytes > self.most:
            raise QuotaExceeded


class Dock:
    """The upload services under test."""

    def __init__(self, shelf: Shelf, most: int = 10**6, min_free: int = 0) -> None:
        self.shelf = shelf
        self.bound = LimitedBound()
        self.files = UploadFiles(shelf.blobs.root / "uploads")
        self.store = UploadStore(shelf.database, lambda: "here")
        limits = UploadLimits(most, min_free, timedelta(hours=24))
        self.service = UploadService(self.store, self.files, shelf.service, self.bound, limits, shelf.clock)
        self.joining = Joining(
            shelf.service, shelf.blobs, ContentDecoder(), MediaFactsStore(shelf.database), self.files, shelf.clock
        )
        expander = Expander(ArchiveLimits(min_free=0))
        self.intake = UploadProcessor(self.service, self.store, self.files, self.joining, expander, shelf.clock)

    def upload(self, content: bytes, **metadata: str) -> Upload:
        """Create a complete upload."""
        started = self.service.begin(len(content), {"dataset": "cats", **metadata})
        if content:
            taken = self.service.open(started.upload_id, 0, len(content), None)
            taken.write(content)
            self.service.close(taken, is_whole=True)
        return self.store.get(started.upload_id)

    def items(self) -> dict[str, str | None]:
        """Return the captions of the dataset's items by name."""
        dataset = self.shelf.store.get("cats")
        found = self.shelf.service.find_version(dataset)
        return {item.path: item.caption for item in self.shelf.service.read_items(found.manifest_sha256)}
