"""Import an export in the trainer's layout: its manifest restores the original file names and captions.

The same version results on any server. In the archive all media are in one directory, as the trainer requires:
`clips/a.mp4` has the name `clips__a.mp4` there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from api.datasets.items.tree import CONTROLS, MASKS, FileTree, TreeFile, stem_of
from api.datasets.materials import flat_names
from api.datasets.names import problem_of_path
from api.domain.datasets.dataset import MAX_CAPTION, MAX_ITEMS, ManifestItem, included_items, read_manifest
from api.util.files.foreign_files import read

#: Name of the manifest in an export.
MANIFEST = "manifest.jsonl"

#: Most bytes of a manifest that are read: enough for the largest version.
_MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an archive with their original names, and the items of its manifest."""

    files: list[TreeFile]
    items: tuple[ManifestItem, ...] = ()

    def restore_captions(self, tree: FileTree) -> None:
        """Restore the manifest's exact captions of items whose captions differ only in surrounding space."""
        for item in self.items:
            if item.caption is not None and tree.captions.get(item.path) == item.caption.strip():
                tree.captions[item.path] = item.caption


def with_exported_names(files: Sequence[TreeFile]) -> Exported:
    """Return the files of an export with their original names; files of other archives keep theirs. Raises OSError."""
    manifest = next((each for each in files if each.path == MANIFEST), None)
    if manifest is None:
        return Exported(list(files))
    items = tuple(included_items(_read_items(manifest)))
    rest = [each for each in files if each is not manifest]
    names = flat_names(items)
    by_name = {names[item.path]: item.path for item in items}
    by_stem = {stem_of(name): path for name, path in by_name.items()}
    return Exported([replace(each, path=_original_name(each.path, by_name, by_stem)) for each in rest], items)


def _read_items(manifest: TreeFile) -> Iterator[ManifestItem]:
    """Yield the items of a manifest. The file may be forged; invalid content yields nothing."""
    if manifest.size_bytes > _MOST_BYTES:
        return
    lines = read(str(manifest.file), _MOST_BYTES, manifest.levels).splitlines()
    try:
        found = list(read_manifest(lines[: MAX_ITEMS + 1]))
    except (ValueError, TypeError):
        return
    if len(found) <= MAX_ITEMS and all(map(_is_possible, found)):
        yield from {item.path: item for item in found}.values()


def _is_possible(item: ManifestItem) -> bool:
    path, caption = item.path, item.caption
    is_text = caption is None or (isinstance(caption, str) and len(caption) <= MAX_CAPTION)
    return isinstance(path, str) and problem_of_path(path) is None and is_text


def _original_name(path: str, by_name: dict[str, str], by_stem: dict[str, str]) -> str:
    top, _, below = path.partition("/")
    if path in by_name:
        return by_name[path]
    if path.endswith(".txt") and path.removesuffix(".txt") in by_stem:
        # Match the whole name, because two items may have the same stem.
        return f"{by_stem[path.removesuffix('.txt')]}.txt"
    if top.lower() in MASKS | CONTROLS and stem_of(below) in by_stem:
        return f"{top}/{stem_of(by_stem[stem_of(below)])}{PurePosixPath(below).suffix}"
    return path
