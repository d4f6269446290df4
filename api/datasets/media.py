"""The media files of datasets: where they lie, and what is known of them, found out where it is not."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

from api.datasets.media_facts import MediaFactsStore
from api.domain.dataset import Dataset, ManifestItem, MediaFacts, MediaKind
from api.domain.media import Decoder, MediaProbe, MediaProblem, MediaSource
from api.errors import BlobMissing, DatasetChanged, DecoderBusy
from api.files.blobs import BlobStore
from api.util.caller import has_caller_left
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Files whose facts are kept by one transaction.
_BATCH = 64


_GONE = MediaProbe(
    MediaFacts(
        MediaKind.OTHER, problem=MediaProblem.CHANGED, problem_text="It is no longer there as it was in this version."
    )
)


class RegisteredFiles(Protocol):
    """Where the files of registered directories lie now. All raise DatasetChanged for one that is no longer there."""

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        """Where an item's file lies."""
        ...

    def finder(self, dataset: Dataset) -> Callable[[str, str], Path]:
        """Gives the path of a file with this content; the second text is what it is called in an error."""
        ...


class DatasetMedia:
    """Looks into media files, once for the same bytes."""

    def __init__(
        self,
        facts: MediaFactsStore,
        blobs: BlobStore,
        decoder: Decoder,
        clock: Clock,
        registered: RegisteredFiles | None = None,
    ) -> None:
        """`registered` finds the files of registered directories."""
        self._facts = facts
        self._blobs = blobs
        self._decoder = decoder
        self._clock = clock
        self._registered = registered
        self._looking = threading.Lock()

    def source_of(self, dataset: Dataset, item: ManifestItem) -> MediaSource:
        """Where the bytes of an item lie. Raises BlobMissing, DatasetChanged."""
        if dataset.directory is None or self._registered is None:
            return MediaSource(self._blobs.path(item.sha256))
        return MediaSource(self._registered.path_of(dataset, item), item.sha256)

    def find_sources(self, dataset: Dataset, items: Iterable[ManifestItem]) -> dict[str, MediaSource | None]:
        """Where the files of these items lie, by hash, masks and control images too; None for one that is gone."""
        find, found = self._sources(dataset), dict[str, MediaSource | None]()
        for item in items:
            for sha256 in item.blobs:
                try:
                    found[sha256] = find(sha256, item.path)
                except (BlobMissing, DatasetChanged):
                    found[sha256] = None
        return found

    def _sources(self, dataset: Dataset) -> Callable[[str, str], MediaSource]:
        if dataset.directory is None or self._registered is None:
            return lambda sha256, path: MediaSource(self._blobs.path(sha256))
        find = self._registered.finder(dataset)
        return lambda sha256, path: MediaSource(find(sha256, path), sha256)

    def known(self, sha256: str) -> MediaProbe | None:
        """What is known of a blob; None when nobody has looked into it."""
        return self._facts.get([sha256]).get(sha256)

    def require(self, sha256: str, source: MediaSource) -> MediaProbe:
        """What is known of the file with this content, now at the latest. Raises DecoderBusy."""
        known = self.known(sha256)
        if known is not None:
            return known
        found = self._decoder.examine(source)
        self._keep({sha256: found})
        return found

    def look(self, files: Mapping[str, MediaSource | None], seconds: float) -> dict[str, MediaProbe]:
        """What is known of these files by hash; the unknown ones are looked into for so long. Those that were not
        reached are left out. One caller at a time looks, others get what is known.
        """
        found = self._facts.get(files.keys())
        found.update((sha256, _GONE) for sha256, source in files.items() if source is None)
        missing = {sha256: source for sha256, source in files.items() if sha256 not in found and source is not None}
        if not missing or not self._looking.acquire(blocking=False):
            return found
        try:
            found.update(self._examine(missing, self._clock.monotonic() + seconds))
        finally:
            self._looking.release()
        return found

    def _examine(self, missing: Mapping[str, MediaSource], until: float) -> dict[str, MediaProbe]:
        found: dict[str, MediaProbe] = {}
        waiting = iter(missing.items())
        # Threads of the pool do not know for whom they work.
        has_left = has_caller_left.get()

        def examine(file: tuple[str, MediaSource]) -> tuple[str, MediaProbe] | None:
            if self._clock.monotonic() >= until or has_left():
                return None
            try:
                return file[0], self._decoder.examine(file[1])
            except DecoderBusy:
                return None

        with ThreadPoolExecutor(self._decoder.children, "media-look") as threads:
            while self._clock.monotonic() < until and not has_left() and (batch := list(islice(waiting, _BATCH))):
                new = dict(each for each in threads.map(examine, batch) if each is not None)
                self._keep(new)
                found.update(new)
        return found

    def _keep(self, probes: Mapping[str, MediaProbe]) -> None:
        # What a file has become says nothing of the bytes that were wanted.
        known = {sha256: each for sha256, each in probes.items() if each.facts.problem != MediaProblem.CHANGED}
        self._facts.put(known, self._clock.now())
