"""Examine media files by path, as trainers check them; a stored file is examined once, whatever view it is in."""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from api.datasets.items.media import DatasetMedia
from api.datasets.materials import flat_names
from api.datasets.service import DatasetService
from api.domain.datasets.dataset import included_items
from api.domain.datasets.media import Decoder, MediaProbe, MediaSource

_HASH = 64  #: characters of a SHA-256; the name of a view starts with that of its manifest

#: Number of manifests whose file names are cached: enough for the datasets of one request.
_MANIFESTS = 8


class PathMedia:
    """Examines files by path. Thread-safe."""

    def __init__(self, views: Path, datasets: DatasetService, media: DatasetMedia, decoder: Decoder) -> None:
        """Read from the directory `views`, which has a view of each manifest, named by its hash."""
        self.children = decoder.children
        self._views = views
        self._media = media
        self._decoder = decoder
        self._names = lru_cache(_MANIFESTS)(lambda manifest: _names_in_view(datasets, manifest))

    def examine(self, source: MediaSource) -> MediaProbe:
        """Return the facts about a file. Raises DecoderBusy, BlobMissing, DatabaseUnavailable."""
        sha256 = self._find_hash(source.path)
        # The trainer follows links; the decoder does not.
        plain = MediaSource(Path(os.path.realpath(source.path)), sha256)
        return self._decoder.examine(plain) if sha256 is None else self._media.require(sha256, plain)

    def _find_hash(self, path: Path) -> str | None:
        """Return the hash of a file in a view of a version; None for any other file."""
        if not path.is_relative_to(self._views):
            return None
        view, *below = path.relative_to(self._views).parts
        return self._names(view[:_HASH]).get("/".join(below))


def _names_in_view(datasets: DatasetService, manifest_sha256: str) -> Mapping[str, str]:
    items = included_items(datasets.read_items(manifest_sha256))
    names, found = flat_names(items), dict[str, str]()
    for item in items:
        name = names[item.path]
        found[f"media/{name}"] = item.sha256
        for part, sha256 in (("masks", item.mask_sha256), ("controls", item.control_sha256)):
            if sha256 is not None:
                found[f"{part}/{PurePosixPath(name).stem}.png"] = sha256
    return found
