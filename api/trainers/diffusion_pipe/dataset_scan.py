"""Looks into the directories of a dataset: which files the trainer will take, skip, or choke on."""

import json
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe import paths
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.media import IMAGE_SUFFIXES, Budget, Look, Looks, Unreadable, is_video
from api.trainers.diffusion_pipe.model_check import Variant
from api.trainers.diffusion_pipe.totals import Item
from api.trainers.pointers import shown

#: Suffixes of files that the trainer passes over; it tries to open anything else.
_PASSED_OVER = frozenset({".txt", ".npz", ".json", ".parquet", ".bak", ".db"})
_CAPTIONS = "captions.json"

_MOST_NAMES = 5
_MOST_JSON_BYTES = 32 * 1024 * 1024
_MOST_CAPTION_BYTES = 1024 * 1024

_HANGS = "The trainer hangs on it, holding its GPUs"


@dataclass(frozen=True, slots=True)
class Scan:
    """What is looked for in one directory."""

    path: Path
    at: Callable[..., str]  #: the pointer of a key of this directory
    skip_uncaptioned: bool = True
    captions_each: int = 1  #: how many captions one caption counts for
    needs_captions_json: bool = False
    masks: Path | None = None
    default_mask: Path | None = None
    controls: Path | None = None


@dataclass(slots=True)
class FoundItems:
    """What was found in one directory. `unknown` says why some items were not seen; then their captions may exist all
    the same.
    """

    items: list[Item] = field(default_factory=list)
    unknown: str | None = None
    captions_unknown: bool = False
    has_captions_json: bool = False
    names: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, name: str) -> None:
        """Notes the name of a file under what is wrong with it."""
        self.names.setdefault(what, []).append(name)


class DatasetScanner:
    """Scans directories within one budget."""

    def __init__(self, looks: Looks, budget: Budget, variant: Variant, findings: Findings) -> None:
        self._looks = looks
        self._budget = budget
        self._variant = variant
        self._findings = findings

    def scan(self, scan: Scan) -> FoundItems:
        """Lists a directory and looks at its files while the budget lasts."""
        found = FoundItems()
        if self._budget.is_spent:
            found.unknown = "a directory was not looked at for lack of time"
            found.captions_unknown = True
            return found
        names = self._list(scan.path, found)
        found.captions_unknown = found.unknown is not None
        found.has_captions_json = _CAPTIONS in names
        captions = self._read_captions(scan, names, found)
        media = sorted(name for name, is_file in names.items() if is_file and _is_candidate(name))
        if not media:
            if found.unknown is None:
                self._findings.error(
                    scan.at("path"),
                    f"This directory has no images or videos. {_HANGS}.",
                    "Name the directory that has them.",
                )
            return found
        companions = self._companions(scan, found)
        for position, name in enumerate(media):
            if self._budget.is_spent:
                found.unknown = f"{len(media) - position} of {len(media)} files were not looked at for lack of time"
                break
            self._look(scan, name, _count_captions(name, names, captions), companions, found)
        _report(scan, found, len(media), self._findings)
        return found

    def _list(self, directory: Path, found: FoundItems) -> dict[str, bool]:
        names: dict[str, bool] = {}
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if self._budget.entries <= 0 or (len(names) % 1024 == 1023 and self._budget.is_spent):
                        found.unknown = f"only the first {len(names)} entries of a directory were looked at"
                        break
                    self._budget.entries -= 1
                    names[entry.name] = _is_file(entry)
        except OSError:
            found.unknown = "a directory could not be listed"
        return names

    def _companions(self, scan: Scan, found: FoundItems) -> "_Companions":
        # Among names that were not all read, a missing one means nothing.
        masks, controls = self._stems(scan.masks, found), self._stems(scan.controls, found)
        return _Companions(None, None) if found.unknown is not None else _Companions(masks, controls)

    def _stems(self, directory: Path | None, found: FoundItems) -> dict[str, Path] | None:
        if directory is None:
            return None
        return {Path(name).stem: directory / name for name, is_file in self._list(directory, found).items() if is_file}

    def _read_captions(self, scan: Scan, names: dict[str, bool], found: FoundItems) -> dict[str, Any] | None:
        if _CAPTIONS not in names:
            if scan.needs_captions_json:
                self._findings.error(
                    scan.at("online_captions"),
                    f"online_captions needs a {_CAPTIONS} here.",
                    "Add it, or leave this out.",
                )
            return None
        text = paths.read_start(scan.path / _CAPTIONS, _MOST_JSON_BYTES + 1)
        if len(text) > _MOST_JSON_BYTES:
            found.unknown = f"{_CAPTIONS} is too large to be read here"
            found.captions_unknown = True
            return {}
        try:
            captions = json.loads(text)
        except (ValueError, RecursionError):
            captions = None
        if isinstance(captions, dict):
            return captions
        found.captions_unknown = True
        self._findings.error(
            scan.at("path"), f"{_CAPTIONS} is no JSON object. {_HANGS}.", 'Write {"name.png": ["a caption"]}.'
        )
        return {}

    def _look(self, scan: Scan, name: str, captions: int | None, companions: "_Companions", found: FoundItems) -> None:
        if name.endswith(".tar"):
            self._look_at_tar(scan, name, found)
            return
        if companions.controls is not None and Path(name).stem not in companions.controls:
            found.note("uncontrolled", name)
        if captions is None and scan.skip_uncaptioned and not found.captions_unknown:
            found.note("uncaptioned" if _looks_like_media(name) else "stray", name)
            return
        if captions == _BAD_CAPTIONS:
            found.note("captions", name)
            return
        if captions == 0:
            found.note("no captions", name)
        if captions == _IN_FILE and not _is_text(scan.path / (os.path.splitext(name)[0] + ".txt")):
            found.note("caption", name)
        if captions == _IN_FILE and _is_empty(scan.path / (os.path.splitext(name)[0] + ".txt")):
            found.note("empty", name)
        look = self._look_at(scan, name, found)
        if look is not None:
            self._take(scan, name, look, captions, found)
            self._check_companions(scan, name, look, companions, found)

    def _look_at_tar(self, scan: Scan, name: str, found: FoundItems) -> None:
        if not _is_plain_tar(paths.read_start(scan.path / name, tarfile.BLOCKSIZE)):
            found.note("packed", name)
        elif scan.skip_uncaptioned and not found.has_captions_json and not found.captions_unknown:
            found.note("uncaptioned", name)
        else:
            found.unknown = "images in .tar files are not looked at"

    def _look_at(self, scan: Scan, name: str, found: FoundItems) -> Look | None:
        if is_video(name) and self._variant.framerate is None:
            found.note("videos", name)
            return None
        try:
            look = self._looks.look(scan.path / name)
        except Unreadable:
            found.note("webp" if name.endswith(".webp") else "broken", name)
            return None
        if look.is_cut_off:
            found.note("cut off", name)
            return None
        # The trainer looks at the frames under this suffix only; of any other image it takes the first.
        if name.endswith(".webp") and look.frames != 1:
            found.note("animated", name)
            return None
        return look

    def _take(self, scan: Scan, name: str, look: Look, captions: int | None, found: FoundItems) -> None:
        frames: int | None = 1
        if is_video(name):
            frames = self._frames(look)
        elif self._variant.videos_only:
            found.note("images", name)
            return
        if frames is None:
            found.unknown = "the length of a video cannot be told from its header"
            return
        each = 1 if captions in (None, _IN_FILE) else captions or 0
        found.items.append(Item(look.width, look.height, frames, each * scan.captions_each))

    def _frames(self, look: Look) -> int | None:
        if look.frames is None or not look.frames_per_second:
            return None
        return int(look.frames * (self._variant.framerate or 0) / look.frames_per_second)

    def _check_companions(
        self, scan: Scan, name: str, look: Look, companions: "_Companions", found: FoundItems
    ) -> None:
        stem = Path(name).stem
        if companions.masks is not None or scan.default_mask is not None:
            mask = (companions.masks or {}).get(stem, scan.default_mask)
            if mask is None:
                found.note("unmasked", name)
            elif (size := self._size(mask)) != (look.width, look.height):
                found.note("mask" if size is None else "mask size", name)
        control = (companions.controls or {}).get(stem)
        if control is not None and self._size(control) is None:
            found.note("control", name)

    def _size(self, path: Path) -> tuple[int, int] | None:
        try:
            look = self._looks.look(path)
        except Unreadable:
            return None
        return None if look.is_cut_off else (look.width, look.height)


@dataclass(frozen=True, slots=True)
class _Companions:
    masks: dict[str, Path] | None
    controls: dict[str, Path] | None


_IN_FILE = -1  #: the caption is in a text file beside the media file
_BAD_CAPTIONS = -2  #: captions.json holds something other than a list


def _count_captions(name: str, names: dict[str, bool], captions: dict[str, Any] | None) -> int | None:
    if captions is None:
        return _IN_FILE if os.path.splitext(name)[0] + ".txt" in names else None
    found = captions.get(name)
    if found is None:
        return None
    return len(found) if isinstance(found, list) else _BAD_CAPTIONS


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_candidate(name: str) -> bool:
    return os.path.splitext(name)[1] not in _PASSED_OVER


def _looks_like_media(name: str) -> bool:
    return is_video(name) or os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_text(path: Path) -> bool:
    if not stat.S_ISREG(paths.mode_of(path) or 0) or not os.access(path, os.R_OK):
        return False
    text = paths.read_start(path, _MOST_CAPTION_BYTES)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        # A character may be cut in two where the read ended.
        return len(text) == _MOST_CAPTION_BYTES and error.start > len(text) - 4
    return True


def _is_empty(path: Path) -> bool:
    return stat.S_ISREG(paths.mode_of(path) or 0) and not paths.read_start(path, 4096).strip()


def _is_plain_tar(start: bytes) -> bool:
    """Whether the first block is a header of the format itself: what is packed in it, too, the trainer cannot open."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        # An archive of nothing has no header, only empty blocks.
        return len(start) == tarfile.BLOCKSIZE and not start.strip(b"\0")
    return True


@dataclass(frozen=True, slots=True)
class _Complaint:
    what: str
    is_error: bool
    message: str
    remedy: str
    key: str = "path"


_COMPLAINTS = (
    _Complaint(
        "cut off", True, f"are images that end too early. {_HANGS}", "Copy or download them again, or remove them."
    ),
    _Complaint(
        "empty", False, "have an empty caption file; they are trained with no caption", "Write captions into them."
    ),
    _Complaint(
        "animated", True, f"are animated WebP images. {_HANGS}", "Convert them to videos, or to images of one frame."
    ),
    _Complaint("webp", True, f"are WebP files that cannot be read. {_HANGS}", "Remove or replace them."),
    _Complaint(
        "broken", False, "cannot be opened as image or video; the trainer skips them", "Remove or replace them."
    ),
    _Complaint("videos", False, "are videos, which this model type does not take; they are skipped", "Remove them."),
    _Complaint(
        "images", True, "are images; this model is trained on videos only, and the trainer fails", "Remove them."
    ),
    _Complaint(
        "captions", True, f"have something else than a list in {_CAPTIONS}. {_HANGS}", "Write a list of captions."
    ),
    _Complaint(
        "no captions", False, f"have an empty list in {_CAPTIONS}; they are not trained on", "Write captions into it."
    ),
    _Complaint("packed", True, f"are no plain .tar files. {_HANGS}", "Pack them anew without compression: tar -cf."),
    _Complaint("caption", True, f"have a caption file that cannot be read as UTF-8. {_HANGS}", "Save it as UTF-8."),
    _Complaint(
        "unmasked", False, "have no mask; they are trained on whole", "Add masks of the same names.", "mask_path"
    ),
    _Complaint("mask", True, f"have a mask that cannot be read. {_HANGS}", "Replace the mask.", "mask_path"),
    _Complaint(
        "mask size", True, f"have a mask of another size. {_HANGS}", "Make it as large as the image.", "mask_path"
    ),
    _Complaint(
        "uncontrolled", True, f"have no control image. {_HANGS}", "Add images of the same names.", "control_path"
    ),
    _Complaint("control", True, f"have a control image that cannot be read. {_HANGS}", "Replace it.", "control_path"),
)


def _report(scan: Scan, found: FoundItems, media: int, findings: Findings) -> None:
    _report_uncaptioned(scan, found, media, findings)
    for complaint in _COMPLAINTS:
        names = found.names.get(complaint.what)
        if not names:
            continue
        say = findings.error if complaint.is_error else findings.warn
        say(
            scan.at(complaint.key),
            f"{len(names)} of {media} files {complaint.message}: {_list(names)}.",
            complaint.remedy,
        )
    skipped = {name for what in ("broken", "videos") for name in found.names.get(what, ())}
    if skipped and not found.items and found.unknown is None and not found.names.keys() - {"broken", "videos", "stray"}:
        findings.error(
            scan.at("path"), "None of its files can be used for this model type.", "Look into the directory."
        )


def _report_uncaptioned(scan: Scan, found: FoundItems, media: int, findings: Findings) -> None:
    names = found.names.get("uncaptioned", [])
    if found.unknown is None and len(names) + len(found.names.get("stray", ())) == media:
        if not names:
            findings.error(
                scan.at("path"), f"None of its {media} files is an image or a video.", "Look into the directory."
            )
            return
        findings.error(
            scan.at("path"),
            f"None of its {len(names)} files has a caption, and without one each is skipped.",
            _caption_remedy(found, names),
        )
    elif names:
        findings.warn(
            scan.at("path"),
            f"{len(names)} of {media} files have no caption and are skipped: {_list(names)}.",
            _caption_remedy(found, names),
        )


def _caption_remedy(found: FoundItems, names: list[str]) -> str:
    # Beside a captions.json no text file is read, and none that belongs to what is in a .tar.
    if found.has_captions_json:
        advice = f"Give each a list of captions in {_CAPTIONS}"
    elif any(name.endswith(".tar") for name in names):
        advice = f"Add a {_CAPTIONS} with a list of captions for each name in the .tar"
    else:
        advice = f"Put a <name>.txt beside each (or a {_CAPTIONS})"
    return f"{advice}, or set skip_empty_caption = false."


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(shown(name) for name in names[:_MOST_NAMES]) + more
