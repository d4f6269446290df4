"""The media files of datasets: where they lie, and what is known of them, found out where it is not."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from api.errors import DecoderBusy
from api.models.dataset import Dataset, ManifestItem
from api.models.media import Decoder, MediaProbe
from api.storage.blobs import BlobStore
from api.storage.media_facts import MediaFactsStore
from api.utils.clock import Clock

logger = logging.getLogger(__name__)

#: Files whose facts are kept by one transaction.
_BATCH = 64


class DatasetMedia:
    """Looks into media files, once for the same bytes."""

    def __init__(
        self,
        facts: MediaFactsStore,
        blobs: BlobStore,
        decoder: Decoder,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        locate_registered: Callable[[Dataset, ManifestItem], Path] | None = None,
    ) -> None:
        """`locate_registered` says where an item of a registered directory lies, if it is still the one that it was."""
        self._facts = facts
        self._blobs = blobs
        self._decoder = decoder
        self._clock = clock
        self._locate_registered = locate_registered
        self._monotonic = monotonic
        self._looking = threading.Lock()

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        """Where the bytes of an item lie. Raises BlobMissing; DatasetChanged where a registered one has others."""
        if dataset.directory is not None and self._locate_registered is not None:
            return self._locate_registered(dataset, item)
        if dataset.directory is not None:
            return Path(dataset.directory) / item.path
        return self._blobs.path(item.sha256)

    def blob_path(self, sha256: str) -> Path:
        """Where a blob lies."""
        return self._blobs.path(sha256)

    def known(self, sha256: str) -> MediaProbe | None:
        """What is known of a blob; None when nobody has looked into it."""
        return self._facts.get([sha256]).get(sha256)

    def require(self, sha256: str, path: Path) -> MediaProbe:
        """What is known of the file with this content, now at the latest. Raises DecoderBusy."""
        known = self.known(sha256)
        if known is not None:
            return known
        found = self._decoder.examine(path)
        self._facts.put({sha256: found}, self._clock.now())
        return found

    def look(self, files: Mapping[str, Path], seconds: float) -> dict[str, MediaProbe]:
        """What is known of these files by hash; the unknown ones are looked into for so long. Those that were not
        reached are left out. One caller at a time looks, others get what is known.
        """
        found = self._facts.get(files.keys())
        missing = {sha256: path for sha256, path in files.items() if sha256 not in found}
        if not missing or not self._looking.acquire(blocking=False):
            return found
        try:
            found.update(self._examine(missing, self._monotonic() + seconds))
        finally:
            self._looking.release()
        return found

    def _examine(self, missing: Mapping[str, Path], until: float) -> dict[str, MediaProbe]:
        found: dict[str, MediaProbe] = {}
        waiting = iter(missing.items())
        with ThreadPoolExecutor(self._decoder.children, "media-look") as threads:
            while self._monotonic() < until and (batch := list(islice(waiting, _BATCH))):
                new = dict(self._examine_batch(threads, batch, until))
                self._facts.put(new, self._clock.now())
                found.update(new)
        return found

    def _examine_batch(
        self, threads: ThreadPoolExecutor, batch: list[tuple[str, Path]], until: float
    ) -> Iterator[tuple[str, MediaProbe]]:
        def examine(file: tuple[str, Path]) -> tuple[str, MediaProbe] | None:
            if self._monotonic() >= until:
                return None
            try:
                return file[0], self._decoder.examine(file[1])
            except DecoderBusy:
                return None

        yield from (each for each in threads.map(examine, batch) if each is not None)
