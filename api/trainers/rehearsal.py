"""Where the items of a rehearsal come from, and where the rehearsal has them."""

from dataclasses import dataclass
from pathlib import Path

from api.domain.training import TrainingRequest

#: About how many steps a rehearsal makes. The first includes a warm-up, so its duration does not count.
STEPS = 8


@dataclass(frozen=True, slots=True)
class ItemFolders:
    """The directories of an item; None for kinds of files that its dataset does not have."""

    media: Path
    masks: Path | None = None
    controls: Path | None = None

    def as_values(self) -> dict[str, str]:
        """Return the keys of a dataset's directory."""
        named = {"path": self.media, "mask_path": self.masks, "control_path": self.controls}
        return {name: str(path) for name, path in named.items() if path is not None}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The request with which a trainer rehearses, and the original folders of its items."""

    request: TrainingRequest
    sources: tuple[ItemFolders, ...]


def own_folders(directory: Path, index: int, like: ItemFolders) -> ItemFolders:
    """Return the folders of an item in the directory of a rehearsal."""
    root = directory / str(index)
    return ItemFolders(
        root / "media",
        None if like.masks is None else root / "masks",
        None if like.controls is None else root / "controls",
    )
