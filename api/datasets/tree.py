"""What the files of a folder or archive are to a dataset: media, captions, masks, controls. Reads texts only.

Captions come as `<stem>.txt` beside the media, as `captions.json` (file name → text, or a list of them) or as
`metadata.jsonl` (`file_name`, and `text`, `caption` or `prompt`) in their directory; masks and controls as pictures of
the same stem in a directory of that name beside the media, or above it. A directory `10_name`, kohya's form, says how
often its items are repeated.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from api.domain.dataset import MAX_CAPTION
from api.files.archives.limits import BadArchive
from api.util.foreign_files import TROUBLE, read

#: Names of directories beside or above media, whose pictures belong to those of the same stem.
MASKS = frozenset({"mask", "masks"})
CONTROLS = frozenset({"control", "controls", "control_images", "conditioning", "conditioning_images"})

#: Bytes of a text: one caption, with what its encoding may take; and a file with those of a whole directory.
_CAPTION_BYTES = 8 * MAX_CAPTION
_LIST_BYTES = 64 * 1024 * 1024

_REPEATS = re.compile(r"([1-9][0-9]{0,5})_\S.*")
_TEXT_KEYS = ("text", "caption", "prompt")


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file: its path below the dataset, and where its bytes are."""

    path: str
    file: Path
    size_bytes: int
    levels: int = 0  #: directories above it in which somebody else may put links, which are not followed


@dataclass(slots=True)
class FileTree:
    """Files by what they are. Keys of captions and side pictures are paths, whole or without their suffix."""

    pictures: list[TreeFile] = field(default_factory=list)  #: what may be media: only their content will tell
    captions: dict[str, str] = field(default_factory=dict)
    masks: dict[str, TreeFile] = field(default_factory=dict)
    controls: dict[str, TreeFile] = field(default_factory=dict)
    num_repeats: dict[str, int] = field(default_factory=dict)
    further_captions: int = 0  #: of items with several: one is taken

    def caption_of(self, path: str) -> str | None:
        """The caption of the item with this path; None: none came."""
        return self.captions.get(path, self.captions.get(stem_of(path)))


def stem_of(path: str) -> str:
    """The path without its suffix."""
    return str(PurePosixPath(path).with_suffix(""))


def without_common_directory(files: Sequence[TreeFile]) -> list[TreeFile]:
    """The same files, without the one directory that all lie in, as in the archive of a folder; kohya's stays."""
    tops = {each.path.partition("/")[0] for each in files if "/" in each.path}
    top = next(iter(tops), "")
    is_common = len(tops) == 1 and all("/" in each.path for each in files)
    if not is_common or _REPEATS.fullmatch(top) or top.lower() in MASKS | CONTROLS:
        return list(files)
    return [replace(each, path=each.path.partition("/")[2]) for each in files]


def without_export_directory(files: Sequence[TreeFile]) -> list[TreeFile]:
    """The same files, without the directory `media` of an export in the trainer's form, and without its settings: what
    was exported comes back as the same manifest.
    """
    tops = {each.path.partition("/")[0] for each in files}
    if not {"media", "dataset.toml"} <= tops <= {"media", "dataset.toml", "manifest.jsonl", "masks", "controls"}:
        return list(files)
    kept = [each for each in files if each.path != "dataset.toml"]
    return [replace(each, path=each.path.removeprefix("media/")) for each in kept]


#: What is told of a text that cannot be one of captions.
Refuse = Callable[[BadArchive], None]


def _refuse_all(refused: BadArchive) -> None:
    raise refused


def sort_out(files: Iterable[TreeFile], refuse: Refuse = _refuse_all) -> FileTree:
    """What each of the files is. `refuse` hears of each text that cannot be one of captions; unless it raises, as it
    does by default, the rest is taken. Raises OSError.
    """
    tree, lists = FileTree(), []
    for each in files:
        name = PurePosixPath(each.path).name.lower()
        if name in ("captions.json", "metadata.jsonl"):
            lists.append(each)
        elif name.endswith(".txt"):
            _take_text(tree, each, refuse)
        else:
            _take_picture(tree, each)
    for each in lists:
        _take_list(tree, each, refuse)
    return tree


def bytes_of_text(path: str, size_bytes: int) -> int:
    """How many bytes of a text of captions are read; 0 of one that is refused for its size."""
    most = _CAPTION_BYTES if path.lower().endswith(".txt") else _LIST_BYTES
    return size_bytes if size_bytes <= most else 0


def _take_picture(tree: FileTree, each: TreeFile) -> None:
    parts = each.path.split("/")
    for side, names in ((tree.masks, MASKS), (tree.controls, CONTROLS)):
        for place, part in enumerate(parts[:-1]):
            if part.lower() in names:
                side[stem_of("/".join(parts[:place] + parts[place + 1 :]))] = each
                return
    for part in parts[:-1]:
        match = _REPEATS.fullmatch(part)
        if match is not None:
            tree.num_repeats["/".join(parts[:-1])] = int(match[1])
    tree.pictures.append(each)


def _take_text(tree: FileTree, each: TreeFile, refuse: Refuse) -> None:
    try:
        tree.captions[stem_of(each.path)] = _clean(_read(each, _CAPTION_BYTES), each.path)
    except BadArchive as refused:
        refuse(refused)


def _take_list(tree: FileTree, each: TreeFile, refuse: Refuse) -> None:
    read: Callable[[str, str], Iterator[tuple[str, Any]]] = (
        _read_json if each.path.lower().endswith("captions.json") else _read_lines
    )
    try:
        # Read to its end first: of a file that breaks off nothing is taken.
        said = list(read(_read(each, _LIST_BYTES), each.path))
    except BadArchive as refused:
        refuse(refused)
        return
    directory = str(PurePosixPath(each.path).parent)
    for name, texts in said:
        try:
            _take_texts(tree, name if directory == "." else f"{directory}/{name}", texts, each.path)
        except BadArchive as refused:
            refuse(refused)


def _take_texts(tree: FileTree, key: str, said: Any, path: str) -> None:
    texts = [said] if isinstance(said, str) else said
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise BadArchive(f'has no text, and no list of texts, for "{key[:200]}"', path)
    if texts:
        tree.captions.setdefault(key, _clean(texts[0], path))
        tree.further_captions += len(texts) - 1


def _read_json(text: str, path: str) -> Iterator[tuple[str, Any]]:
    found = _parse(text, path)
    if not isinstance(found, dict):
        raise BadArchive("must be an object of JSON: file names with their captions", path)
    yield from found.items()


def _read_lines(text: str, path: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        row = _parse(line, path)
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise BadArchive(f"has no file_name in line {number:,}", path)
        said = next((row[key] for key in _TEXT_KEYS if row.get(key) is not None), None)
        if said is not None:
            yield row["file_name"], said


def _parse(text: str, path: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadArchive(f"is no JSON: {error}", path) from None


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
    raise BadArchive("is a text in no encoding that is known here: save it as UTF-8", each.path)


def _clean(text: str, path: str) -> str:
    found = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode().strip()
    if len(found) > MAX_CAPTION:
        raise BadArchive(f"has a caption of more than {MAX_CAPTION:,} characters", path)
    return found


def repeats_by_directory(tree: FileTree) -> Mapping[str, int]:
    """How often the items of directories are repeated, where their names say so."""
    return dict(sorted(tree.num_repeats.items()))
