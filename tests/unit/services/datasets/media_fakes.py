"""A decoder that knows what it was told, and counts what it is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.models.dataset import MediaFacts, MediaKind
from api.models.media import MediaProbe, Recipe

PICTURE = MediaProbe(MediaFacts(MediaKind.IMAGE, "png", 512, 512, frame_count=1), 1)


@dataclass
class FakeDecoder:
    """Finds a picture in every file but those whose content it was told of."""

    found: dict[bytes, MediaProbe] = field(default_factory=dict)
    drawn: bytes | None = b"picture"
    children: int = 2
    examined: list[Path] = field(default_factory=list)
    asked: list[tuple[str, Path]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def examine(self, path: Path) -> MediaProbe:
        self.before()
        self.examined.append(path)
        return self.found.get(path.read_bytes(), PICTURE)

    def thumbnail(self, path: Path, side: int) -> bytes | None:
        self.asked.append((f"thumbnail {side}", path))
        return self.drawn

    def as_trained(self, path: Path, recipe: Recipe, positions: Sequence[int]) -> bytes | None:
        self.asked.append((f"as trained {list(positions)}", path))
        return self.drawn

    def group_alike(self, hashes: Sequence[str], distance: int) -> list[list[int]]:
        groups = [[i for i, each in enumerate(hashes) if each == one] for one in sorted(set(hashes))]
        return [group for group in groups if len(group) > 1]
