"""Add files to a dataset: store the media files and make a new version with them."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from api.datasets.items.adding import AddedFile, SideFiles, add, require_distinct_paths
from api.datasets.items.tree import FileTree, TreeFile, repeats_by_directory, stem_of
from api.datasets.records.media_facts import MediaFactsStore
from api.datasets.service import DatasetService, require_own_files
from api.domain.access.principal import API_ACTOR
from api.domain.datasets.dataset import Dataset, ManifestItem, MediaFacts, MediaKind
from api.domain.datasets.media import Decoder, MediaProbe, MediaSource
from api.domain.datasets.upload import Upload
from api.errors import DatasetChanged, DatasetExists, DatasetNotFound, NotYours
from api.files.archives.limits import BadArchive
from api.files.archives.names import is_litter
from api.files.blobs import BlobStore
from api.files.upload_files import UploadFiles
from api.trainers.media import IGNORED_SUFFIXES
from api.util.clock import Clock

#: Attempts when other writers change the same dataset.
_TRIES = 10

#: Files that are examined together, and whose facts are stored in one transaction.
_BATCH = 64

#: Suffixes of files that become items even if the decoder cannot read them, so that users see the problem.
_MEDIA_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jxl", ".heic", ".heif"}
    | {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
)

#: Receives the number of examined files and the total.
ReportProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Joined:
    """The result of adding files."""

    dataset: str
    version: int
    added: tuple[str, ...]  #: paths of items
    changed: tuple[str, ...]
    left_out: tuple[str, ...]  #: paths of files that are not media
    num_repeats: Mapping[str, int]
    further_captions: int
    facts: Mapping[str, MediaFacts]  #: of media files, by path
    is_all: bool = False  #: the version has no other items


@dataclass(slots=True)
class _Stored:
    """Files that were stored as blobs."""

    media: dict[str, str]  #: hashes by path
    masks: dict[str, str]
    controls: dict[str, str]
    left_out: list[str]
    facts: dict[str, MediaFacts]


class Joining:
    """Adds files to datasets. Thread-safe."""

    def __init__(
        self,
        datasets: DatasetService,
        blobs: BlobStore,
        decoder: Decoder,
        facts: MediaFactsStore,
        files: UploadFiles,
        clock: Clock,
    ) -> None:
        self._datasets = datasets
        self._blobs = blobs
        self._decoder = decoder
        self._facts = facts
        self._files = files
        self._clock = clock

    def join(self, tree: FileTree, upload: Upload, report: ReportProgress) -> Joined:
        """Make a version of an upload's dataset with these files.

        Raises BadArchive, NotYours, DatasetIsRegistered, QuotaExceeded, DatasetChanged, Unavailable, OSError.
        """
        if not (tree.pictures or tree.captions or tree.masks or tree.controls):
            raise BadArchive("contains no image, video or caption")
        stored = self._store_files(tree, report)
        added = [
            AddedFile(each.path, stored.media[each.path], each.size_bytes) for each in _stored_pictures(tree, stored)
        ]
        side = SideFiles(tree.captions, stored.masks, stored.controls)
        for _ in range(_TRIES - 1):
            try:
                return self._add(tree, upload, stored, added, side)
            except (DatasetChanged, DatasetExists):
                # Another writer was first: add the files to its version.
                continue
        return self._add(tree, upload, stored, added, side)

    def _add(self, tree: FileTree, upload: Upload, stored: _Stored, added: list[AddedFile], side: SideFiles) -> Joined:
        dataset = self._find(upload)
        before: Iterable[ManifestItem] = ()
        if dataset is not None and dataset.latest is not None:
            before = self._datasets.read_items(self._datasets.find_version(dataset).manifest_sha256)
        addition = add(before, added, side)
        if addition.added:
            added_paths = frozenset(addition.added)
            known = (item.path for item in addition.items if item.path not in added_paths)
            require_distinct_paths(known, addition.added)
        if not addition.items:
            raise BadArchive(
                "contains no image, no video and no caption of an existing item (only zip and tar are unpacked)"
            )
        dataset = dataset or self._datasets.make(upload.dataset or "", upload.owner, {})
        version = self._datasets.add_version(
            dataset,
            addition.items,
            upload.owner or API_ACTOR,
            _describe(addition.added, addition.changed, upload),
            expected_latest=dataset.latest,
            origin=_origin_of(upload, tree),
        )
        return Joined(
            dataset.name,
            version.ordinal,
            addition.added,
            addition.changed,
            (*stored.left_out, *_unmatched(tree, stored, addition.items)),
            repeats_by_directory(tree),
            tree.further_captions,
            stored.facts,
            is_all=len(addition.items) == len(addition.added) + len(addition.changed),
        )

    def _find(self, upload: Upload) -> Dataset | None:
        """Return the dataset; None if it must be created. Raises NotYours, DatasetIsRegistered."""
        try:
            found = self._datasets.find(upload.dataset or "")
        except DatasetNotFound:
            return None
        require_own_files(found)
        if found.owner != upload.owner and not found.created_at <= upload.created_at <= self._clock.now():
            # Access to an existing dataset was checked when the upload started. A clock set back makes the order
            # unknown.
            raise NotYours(f"The dataset {found.name} belongs to another user: only its owner may add to it.")
        return found

    # -- files -------------------------------------------------------------------------------------------------------

    def _store_files(self, tree: FileTree, report: ReportProgress) -> _Stored:
        stored = _Stored({}, {}, {}, [], {})
        waiting: list[tuple[TreeFile, dict[str, str], str]] = [
            (each, stored.media, each.path) for each in tree.pictures
        ]
        for side, hashes in ((tree.masks, stored.masks), (tree.controls, stored.controls)):
            waiting += [(each, hashes, stem) for stem, each in side.items()]
        with ThreadPoolExecutor(self._decoder.children, "upload-look") as threads:
            for start in range(0, len(waiting), _BATCH):
                report(start, len(waiting))
                batch = waiting[start : start + _BATCH]
                found = threads.map(self._examine, [each for each, _, _ in batch])
                known: dict[str, MediaProbe] = {}
                for (each, hashes, key), probe in zip(batch, found, strict=True):
                    if probe is None or not _is_media(each.path, probe.facts):
                        stored.left_out.append(each.path)
                        continue
                    hashes[key] = sha256 = self._adopt(each.file)
                    known[sha256] = probe
                    stored.facts[each.path] = probe.facts
                self._facts.put(known, self._clock.now())
        return stored

    def _examine(self, each: TreeFile) -> MediaProbe | None:
        return None if is_litter(each.path) else self._decoder.examine(MediaSource(each.file))

    def _adopt(self, file: Path) -> str:
        # Store it under a second name: after a kill before a version names the blob, the upload still has its file.
        twin = self._files.link_twin(file)
        return self._blobs.adopt(twin).sha256


def _unmatched(tree: FileTree, stored: _Stored, items: Iterable[ManifestItem]) -> list[str]:
    """Return the paths of masks and controls that belong to no item."""
    if not stored.masks and not stored.controls:
        return []
    stems = {stem_of(item.path) for item in items}
    masks = [tree.masks[stem].path for stem in stored.masks if stem not in stems]
    return masks + [tree.controls[stem].path for stem in stored.controls if stem not in stems]


def _stored_pictures(tree: FileTree, stored: _Stored) -> list[TreeFile]:
    return [each for each in tree.pictures if each.path in stored.media]


def _is_media(path: str, facts: MediaFacts) -> bool:
    suffix = PurePosixPath(path).suffix
    # Whatever such a file contains, the trainer ignores it by its name, or opens it as an archive.
    if suffix in IGNORED_SUFFIXES or suffix == ".tar":
        return False
    return facts.kind is not MediaKind.OTHER or suffix.lower() in _MEDIA_SUFFIXES


def _describe(added: tuple[str, ...], changed: tuple[str, ...], upload: Upload) -> str:
    parts = [f"{len(names):,} {word}" for names, word in ((added, "added"), (changed, "changed")) if names]
    return f"{' and '.join(parts) or 'nothing new'} by upload" + (f" of {upload.filename}" if upload.filename else "")


def _origin_of(upload: Upload, tree: FileTree) -> dict[str, object]:
    repeats = repeats_by_directory(tree)
    origin: dict[str, object] = {"upload": upload.upload_id, "filename": upload.filename}
    return {**origin, **({"num_repeats": dict(repeats)} if repeats else {})}
