"""Sort the files of a directory or archive into media, captions, masks and controls. Only text files are read.

Captions are in `<stem>.txt` beside the media, or in their directory as `captions.json` (file name → text, or a list of
texts) or `metadata.jsonl` (`file_name`, and `text`, `caption` or `prompt`). Masks and controls are pictures with the
same stem, in a directory of that name beside or above the media. A directory `10_name` (kohya's layout) sets how often
its items are repeated.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from api.domain.datasets.dataset import MAX_CAPTION
from api.files.archives.limits import BadArchive
from api.util.files.foreign_files import TROUBLE, read

#: Names of directories beside or above media, whose pictures match media with the same stem.
MASKS = frozenset({"mask", "masks"})
CONTROLS = frozenset({"control", "controls", "control_images", "conditioning", "conditioning_images"})

#: Most bytes of a text file: one caption in the widest encoding; and a file with the captions of a directory.
_CAPTION_BYTES = 8 * MAX_CAPTION
_LIST_BYTES = 64 * 1024 * 1024

_REPEATS = re.compile(r"([1-9][0-9]{0,5})_\S.*")
_TEXT_KEYS = ("text", "caption", "prompt")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file: its path in the dataset, and the path of its bytes."""

    path: str
    file: Path
    size_bytes: int
    levels: int = 0  #: parent directories in which links are not followed


@dataclass(slots=True)
class FileTree:
    """Files by purpose. Keys of captions, masks and controls are paths, complete or without suffix."""

    pictures: list[TreeFile] = field(default_factory=list)  #: possible media; only the content decides
    captions: dict[str, str] = field(default_factory=dict)
    masks: dict[str, TreeFile] = field(default_factory=dict)
    controls: dict[str, TreeFile] = field(default_factory=dict)
    num_repeats: dict[str, int] = field(default_factory=dict)
    further_captions: int = 0  #: captions that were dropped because an item has one

    def caption_of(self, path: str) -> str | None:
        """Return the caption of the item with this path, or None."""
        return self.captions.get(path, self.captions.get(stem_of(path)))


def stem_of(path: str) -> str:
    """Return the path without its suffix."""
    return str(PurePosixPath(path).with_suffix(""))


def without_common_directory(files: Sequence[TreeFile]) -> list[TreeFile]:
    """Remove the one directory that contains all files, as in the archive of a folder; keep one of kohya's form."""
    tops = {each.path.partition("/")[0] for each in files if "/" in each.path}
    top = next(iter(tops), "")
    is_common = len(tops) == 1 and all("/" in each.path for each in files)
    if not is_common or _REPEATS.fullmatch(top) or top.lower() in MASKS | CONTROLS:
        return list(files)
    return [replace(each, path=each.path.partition("/")[2]) for each in files]


def without_export_directory(files: Sequence[TreeFile]) -> list[TreeFile]:
    """Remove the directory `media` and the settings of an export in the trainer's layout, to get the same manifest."""
    tops = {each.path.partition("/")[0] for each in files}
    if not {"media", "dataset.toml"} <= tops <= {"media", "dataset.toml", "manifest.jsonl", "masks", "controls"}:
        return list(files)
    rest = [each for each in files if each.path != "dataset.toml"]
    return [replace(each, path=each.path.removeprefix("media/")) for each in rest]


#: Called with the error of a text file that cannot contain captions.
OnInvalid = Callable[[BadArchive], None]


def _raise_error(error: BadArchive) -> None:
    raise error


def sort_files(files: Iterable[TreeFile], on_invalid: OnInvalid = _raise_error) -> FileTree:
    """Sort files by purpose. `on_invalid` is called for each invalid text file.

    By default it raises the error; otherwise the other files are still sorted. Raises OSError.
    """
    tree, lists = FileTree(), []
    for each in files:
        name = PurePosixPath(each.path).name.lower()
        if name in ("captions.json", "metadata.jsonl"):
            lists.append(each)
        elif name.endswith(".txt"):
            try:
                tree.captions[stem_of(each.path)] = _clean(_read(each, _CAPTION_BYTES), each.path)
            except BadArchive as error:
                on_invalid(error)
        else:
            _add_picture(tree, each)
    for each in lists:
        _add_list(tree, each, on_invalid)
    return tree


def bytes_of_text(path: str, size_bytes: int) -> int:
    """Return how many bytes of a text file are read; 0 if it is too large."""
    most = _CAPTION_BYTES if path.lower().endswith(".txt") else _LIST_BYTES
    return size_bytes if size_bytes <= most else 0


def _add_picture(tree: FileTree, each: TreeFile) -> None:
    parts = each.path.split("/")
    for side, names in ((tree.masks, MASKS), (tree.controls, CONTROLS)):
        for index, part in enumerate(parts[:-1]):
            if part.lower() in names:
                side[stem_of("/".join(parts[:index] + parts[index + 1 :]))] = each
                return
    for part in parts[:-1]:
        match = _REPEATS.fullmatch(part)
        if match is not None:
            tree.num_repeats["/".join(parts[:-1])] = int(match[1])
    tree.pictures.append(each)


def _add_list(tree: FileTree, each: TreeFile, on_invalid: OnInvalid) -> None:
    read: Callable[[str, str], Iterator[tuple[str, Any]]] = (
        _read_json if each.path.lower().endswith("captions.json") else _read_lines
    )
    try:
        # Read the whole file first: an invalid file is ignored completely.
        captions = list(read(_read(each, _LIST_BYTES), each.path))
    except BadArchive as error:
        on_invalid(error)
        return
    directory = str(PurePosixPath(each.path).parent)
    for name, texts in captions:
        try:
            _add_texts(tree, name if directory == "." else f"{directory}/{name}", texts, each.path)
        except BadArchive as error:
            on_invalid(error)


def _add_texts(tree: FileTree, key: str, value: Any, path: str) -> None:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise BadArchive(f'has neither a text nor a list of texts for "{key[:200]}"', path)
    if texts:
        tree.captions.setdefault(key, _clean(texts[0], path))
        tree.further_captions += len(texts) - 1


def _read_json(text: str, path: str) -> Iterator[tuple[str, Any]]:
    found = _parse(text, path)
    if not isinstance(found, dict):
        raise BadArchive("must be a JSON object: file names with their captions", path)
    yield from found.items()


def _read_lines(text: str, path: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        row = _parse(line, path)
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise BadArchive(f"has no file_name in line {number:,}", path)
        caption = next((row[key] for key in _TEXT_KEYS if row.get(key) is not None), None)
        if caption is not None:
            yield row["file_name"], caption


def _parse(text: str, path: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadArchive(f"is not valid JSON: {error}", path) from None


def _read(each: TreeFile, most: int) -> str:
    if each.size_bytes > most:
        raise BadArchive(f"is a text of more than {most:,} bytes", each.path)
    try:
        content = read(str(each.file), most, each.levels)
    except OSError as error:
        if error.errno in TROUBLE:
            raise
        raise BadArchive(f"cannot be read: {error.strerror or error}", each.path) from None
    for encoding in ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadArchive("has an unknown text encoding: save it as UTF-8", each.path)


def _clean(text: str, path: str) -> str:
    found = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode().strip()
    if len(found) > MAX_CAPTION:
        raise BadArchive(f"has a caption of more than {MAX_CAPTION:,} characters", path)
    return found


def repeats_by_directory(tree: FileTree) -> Mapping[str, int]:
    """Return how often the items of directories are repeated, as their names state."""
    return dict(sorted(tree.num_repeats.items()))
