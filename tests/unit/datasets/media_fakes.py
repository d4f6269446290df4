"""A decoder with prepared answers that counts its calls."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.domain.datasets.dataset import Dataset, ManifestItem, MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe, MediaSource, Recipe
from api.errors import DatasetChanged

PICTURE = MediaProbe(MediaFacts(MediaKind.IMAGE, "png", 512, 512, frame_count=1), 1)


@dataclass
class FakeDecoder:
    """Finds a picture in every file except those with a prepared answer."""

    found: dict[bytes, MediaProbe] = field(default_factory=dict)
    drawn: bytes | None = b"picture"
    children: int = 2
    examined: list[Path] = field(default_factory=list)
    requests: list[tuple[str, Path]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def examine(self, source: MediaSource) -> MediaProbe:
        self.before()
        self.examined.append(source.path)
        content = source.path.read_bytes()
        if source.sha256 not in (None, hashlib.sha256(content).hexdigest()):
            return MediaProbe(MediaFacts(MediaKind.OTHER, problem="changed"))
        return self.found.get(content, PICTURE)

    def thumbnail(self, source: MediaSource, side: int) -> bytes | None:
        self.requests.append((f"thumbnail {side}", source.path))
        return self.drawn

    def as_trained(self, source: MediaSource, recipe: Recipe, positions: Sequence[int]) -> bytes | None:
        self.requests.append((f"as trained {list(positions)}", source.path))
        return self.drawn

    def group_alike(self, hashes: Sequence[str], distance: int) -> tuple[list[list[int]], bool]:
        groups = [[i for i, each in enumerate(hashes) if each == one] for one in sorted(set(hashes))]
        return [group for group in groups if len(group) > 1], True


class FakeDirectory:
    """A registered directory: its files by hash."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        return self.finder(dataset)(item.sha256, item.path)

    def finder(self, dataset: Dataset) -> Callable[[str, str], Path]:
        def find(sha256: str, shown: str) -> Path:
            if sha256 not in self.files:
                raise DatasetChanged(shown)
            return self.files[sha256]

        return find
