"""Compute the items of the next version when files are added. Pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from api.datasets.items.tree import stem_of
from api.domain.datasets.dataset import ManifestItem
from api.files.archives.limits import BadArchive
from api.files.archives.names import fold, shown


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A media file to add."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SideFiles:
    """Captions and hashes of pictures that belong to items, by item path or by path without suffix."""

    captions: Mapping[str, str]
    masks: Mapping[str, str]
    controls: Mapping[str, str]

    def beside(self, item: ManifestItem) -> ManifestItem:
        """Return the item with its new caption, mask and control; keep the old ones where none is new."""
        stem = stem_of(item.path)
        return replace(
            item,
            caption=self.captions.get(item.path, self.captions.get(stem, item.caption)),
            mask_sha256=self.masks.get(stem, item.mask_sha256),
            control_sha256=self.controls.get(stem, item.control_sha256),
        )


@dataclass(frozen=True, slots=True)
class Addition:
    """The items of the next version, and how they differ from the last."""

    items: tuple[ManifestItem, ...]
    added: tuple[str, ...]  #: paths
    changed: tuple[str, ...]


def require_distinct_paths(known: Iterable[str], added: Iterable[str]) -> None:
    """Raise BadArchive if an added path collides with another path on some file system, or lies below a file.

    Paths that differ only in case or Unicode form collide. The entries of an archive follow the same rule.
    """
    spelled = {fold(path): path for path in known}
    directories = {above for path in spelled for above in _above(path)}
    for path in added:
        folded = fold(path)
        other = spelled.setdefault(folded, path)
        if other != path:
            raise BadArchive(f'differs from "{shown(other)}" only in case or in the form of its letters', shown(path))
        if folded in directories or any(above in spelled for above in _above(folded)):
            raise BadArchive("is a file here and a directory in the path of another item", shown(path))
        directories.update(_above(folded))


def _above(path: str) -> Iterator[str]:
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


def add(before: Iterable[ManifestItem], files: Iterable[AddedFile], side: SideFiles) -> Addition:
    """Add these files to the items.

    A file with the path of an existing item replaces it, and inherits its caption, mask and control where none is new.
    """
    old = {item.path: item for item in before}
    new = dict(old)
    for each in files:
        known = old.get(each.path)
        item = ManifestItem(each.path, each.sha256, each.size_bytes)
        new[each.path] = item if known is None else replace(known, sha256=each.sha256, size_bytes=each.size_bytes)
    new = {path: side.beside(item) for path, item in new.items()}
    added = tuple(path for path in new if path not in old)
    changed = tuple(path for path, item in new.items() if path in old and old[path] != item)
    return Addition(tuple(new.values()), added, changed)
