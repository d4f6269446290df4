"""Locate the media files of datasets, and examine those that are not known yet."""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

from api.datasets.records.media_facts import MediaFactsStore
from api.domain.datasets.dataset import Dataset, ManifestItem, MediaFacts, MediaKind
from api.domain.datasets.media import Decoder, MediaProbe, MediaProblem, MediaSource
from api.errors import BlobMissing, DatasetChanged, DecoderBusy
from api.files.blobs import BlobStore
from api.util.clock import Clock
from api.util.http.caller import has_caller_left

#: Files whose facts are stored in one transaction.
_BATCH = 64


_MISSING = MediaProbe(
    MediaFacts(
        MediaKind.OTHER,
        problem=MediaProblem.CHANGED,
        problem_text="The file has changed or was deleted since this version.",
    )
)


class RegisteredFiles(Protocol):
    """Locates the files of registered directories. All methods raise DatasetChanged for a missing or changed file."""

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        """Return the path of an item's file."""
        ...

    def finder(self, dataset: Dataset) -> Callable[[str, str], Path]:
        """Return a function that finds a file by hash; its second argument is the name for error messages."""
        ...


class DatasetMedia:
    """Examines media files, once for the same bytes."""

    def __init__(
        self,
        facts: MediaFactsStore,
        blobs: BlobStore,
        decoder: Decoder,
        clock: Clock,
        registered: RegisteredFiles | None = None,
    ) -> None:
        """Locate registered directories' files by `registered`."""
        self._facts = facts
        self._blobs = blobs
        self._decoder = decoder
        self._clock = clock
        self._registered = registered
        self._examining = threading.Lock()

    def source_of(self, dataset: Dataset, item: ManifestItem) -> MediaSource:
        """Return the location of an item's bytes. Raises BlobMissing, DatasetChanged."""
        if dataset.directory is None or self._registered is None:
            return MediaSource(self._blobs.path(item.sha256))
        return MediaSource(self._registered.path_of(dataset, item), item.sha256)

    def find_sources(self, dataset: Dataset, items: Iterable[ManifestItem]) -> dict[str, MediaSource | None]:
        """Return the locations of the files of these items by hash, with masks and controls; None for missing files."""
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
        """Return the facts about a blob; None if it was not examined yet."""
        return self._facts.get([sha256]).get(sha256)

    def require(self, sha256: str, source: MediaSource) -> MediaProbe:
        """Return the facts about the file with this content; examine it if needed. Raises DecoderBusy."""
        known = self.known(sha256)
        if known is not None:
            return known
        found = self._decoder.examine(source)
        self._store({sha256: found})
        return found

    def examine_all(self, files: Mapping[str, MediaSource | None], seconds: float) -> dict[str, MediaProbe]:
        """Return the facts about these files by hash, after examining unknown ones for this many seconds.

        Files that were not reached are omitted. Only one caller at a time examines files; others get the known facts.
        """
        found = self._facts.get(files.keys())
        found.update((sha256, _MISSING) for sha256, source in files.items() if source is None)
        missing = {sha256: source for sha256, source in files.items() if sha256 not in found and source is not None}
        if not missing or not self._examining.acquire(blocking=False):
            return found
        try:
            found.update(self._examine(missing, self._clock.monotonic() + seconds))
        finally:
            self._examining.release()
        return found

    def _examine(self, missing: Mapping[str, MediaSource], until: float) -> dict[str, MediaProbe]:
        found: dict[str, MediaProbe] = {}
        waiting = iter(missing.items())
        # The threads of the pool do not inherit the request's context variable.
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
                self._store(new)
                found.update(new)
        return found

    def _store(self, probes: Mapping[str, MediaProbe]) -> None:
        # Facts about a changed file do not apply to the bytes of the requested hash.
        known = {sha256: each for sha256, each in probes.items() if each.facts.problem != MediaProblem.CHANGED}
        self._facts.put(known, self._clock.now())
