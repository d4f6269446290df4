"""Scan the directories of a dataset for files that the trainer uses, skips or fails on."""

import codecs
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.checks.dataset_report import CAPTIONS, FoundItems, report
from api.trainers.diffusion_pipe.checks.model_check import Variant
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.buckets import retimed_count
from api.trainers.diffusion_pipe.dataset.folders import CaptionFile, Folder
from api.trainers.diffusion_pipe.dataset.totals import Item
from api.trainers.media import (
    IGNORED_SUFFIXES,
    IMAGE_SUFFIXES,
    OPENED_IMAGE_SUFFIXES,
    Budget,
    MediaInfo,
    Unreadable,
    is_video,
)

_MAX_JSON_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scan:
    """The parameters of the scan of one directory."""

    folder: Folder
    at: Callable[..., str]  #: returns the pointer of a key of this directory
    skip_uncaptioned: bool = True
    captions_each: int = 1  #: number of captions that each caption counts as
    needs_captions_json: bool = False
    masks: Folder | None = None
    default_mask: Callable[[], MediaInfo] | None = None  #: returns the default mask's properties; raises Unreadable
    controls: Folder | None = None


class DatasetScanner:
    """Scans directories within one budget."""

    def __init__(self, budget: Budget, variant: Variant, findings: Findings) -> None:
        self._budget = budget
        self._variant = variant
        self._findings = findings

    def scan(self, scan: Scan) -> FoundItems:
        """List a directory and examine its files while the budget lasts."""
        found = FoundItems()
        if self._budget.is_spent:
            found.unknown = Reason.of("a directory was not examined for lack of time", "directory_unexamined")
            found.captions_unknown = True
            return found
        names = self._list(scan.folder, found)
        found.captions_unknown = found.unknown is not None
        found.has_captions_json = CAPTIONS in names
        captions = self._read_captions(scan, names, found)
        for name, is_file in names.items():
            if not is_file and _looks_like_media(name):
                found.note("link", name)
        media = sorted(name for name, is_file in names.items() if is_file and _is_candidate(name))
        if not media:
            if found.unknown is None:
                self._findings.error(
                    scan.at("path"),
                    FindingText(
                        "directory_without_media",
                        "This directory has no images or videos. The trainer would hang and occupy its GPUs.",
                        "Set the directory that contains them.",
                    ),
                )
            return found
        companions = self._companions(scan, found)
        found.other_key = _other_key(media, captions or {})
        for position, name in enumerate(media):
            if self._budget.is_spent:
                found.unknown = Reason.of(
                    "{files} of {total} files were not examined for lack of time",
                    "files_skipped",
                    files=len(media) - position,
                    total=len(media),
                )
                break
            self._scan_file(scan, name, names, _count_captions(name, names, captions), companions, found)
        self._decode(scan, companions, found)
        if (
            scan.needs_captions_json
            and captions
            and self._variant.type == "sdxl"
            and any(not n.endswith(".tar") for n in media)
        ):
            self._findings.warn(
                scan.at("online_captions"),
                FindingText(
                    "online_captions_not_found",
                    (
                        "With online_captions the trainer looks captions up by the whole path of a file, finds "
                        "none, and trains on empty captions."
                    ),
                    "Remove online_captions, or pack the files into a .tar.",
                ),
            )
        report(scan.at, found, len(media), self._findings)
        return found

    def _list(self, folder: Folder, found: FoundItems) -> Mapping[str, bool]:
        listing = folder.list(self._budget)
        found.unknown = listing.unknown or found.unknown
        return listing.names

    def _companions(self, scan: Scan, found: FoundItems) -> "_Companions":
        # If a list of names is incomplete, a missing name proves nothing.
        masks, controls = self._stems(scan.masks, found), self._stems(scan.controls, found)
        return _Companions(None, None) if found.unknown is not None else _Companions(masks, controls)

    def _stems(self, folder: Folder | None, found: FoundItems) -> dict[str, str] | None:
        if folder is None:
            return None
        return {Path(name).stem: name for name, is_file in self._list(folder, found).items() if is_file}

    def _read_captions(self, scan: Scan, names: Mapping[str, bool], found: FoundItems) -> dict[str, Any] | None:
        if CAPTIONS not in names:
            if scan.needs_captions_json:
                self._findings.error(
                    scan.at("online_captions"),
                    FindingText(
                        "captions_json_needed",
                        "online_captions needs a captions.json in this directory.",
                        "Add it, or remove online_captions.",
                    ),
                )
            return None
        text = scan.folder.start_of(CAPTIONS, _MAX_JSON_BYTES + 1)
        if len(text) > _MAX_JSON_BYTES:
            found.unknown = Reason.of("{file} is too large to be checked", "captions_too_large_to_check", file=CAPTIONS)
            found.captions_unknown = True
            return {}
        if text.startswith(codecs.BOM_UTF8):
            found.captions_unknown = True
            self._findings.error(
                scan.at("path"),
                FindingText(
                    "captions_json_marked",
                    (
                        "captions.json starts with an invisible byte-order mark. The trainer would hang and occupy "
                        "its GPUs."
                    ),
                    "Save it as UTF-8 without a byte-order mark (BOM).",
                ),
            )
            return {}
        try:
            captions = json.loads(text)
        except (ValueError, RecursionError):
            captions = None
        if isinstance(captions, dict):
            return captions
        found.captions_unknown = True
        self._findings.error(
            scan.at("path"),
            FindingText(
                "captions_json_invalid",
                "captions.json is not a JSON object. The trainer would hang and occupy its GPUs.",
                'Write {"name.png": ["a caption"]}.',
            ),
        )
        return {}

    def _scan_file(
        self,
        scan: Scan,
        name: str,
        names: Mapping[str, bool],
        captions: int | None,
        companions: "_Companions",
        found: FoundItems,
    ) -> None:
        if name.endswith(".tar"):
            self._scan_tar(scan, name, companions, found)
            return
        if companions.controls is not None and Path(name).stem not in companions.controls:
            found.note("uncontrolled" if _looks_like_media(name) else "stray uncontrolled", name)
        if _is_unreadable_format(name):
            found.note("format", name)
            return
        if captions is None and scan.skip_uncaptioned and not found.captions_unknown:
            self._note_uncaptioned(name, names, found)
            return
        if captions == _BAD_CAPTIONS:
            found.note("captions", name)
            return
        if captions == 0:
            found.note("no captions", name)
        if captions == _IN_FILE and (problem := _CAPTION_PROBLEMS.get(scan.folder.caption_file(_caption_name(name)))):
            found.note(problem, name)
        info = self._read_info(scan, name, found)
        if info is not None:
            self._take(scan, name, info, captions, found)
            self._check_companions(scan, name, info, companions, found)

    def _note_uncaptioned(self, name: str, names: Mapping[str, bool], found: FoundItems) -> None:
        if not _looks_like_media(name):
            found.note("not media", name)
            return
        found.note("uncaptioned", name)
        ending = None if found.has_captions_json else _other_caption(name, names)
        if ending is not None:
            found.caption_endings.add(ending)
            found.note("other caption", name)

    def _scan_tar(self, scan: Scan, name: str, companions: "_Companions", found: FoundItems) -> None:
        if not _is_plain_tar(scan.folder.start_of(name, tarfile.BLOCKSIZE)):
            found.note("packed", name)
            return
        if companions.controls is not None:
            members = scan.folder.archive_names(name, self._budget)
            if any(Path(member).stem not in companions.controls for member in members):
                found.note("uncontrolled archive", name)
        if scan.skip_uncaptioned and not found.has_captions_json and not found.captions_unknown:
            found.note("uncaptioned", name)
        else:
            found.unknown = Reason.of("images in .tar files are not examined", "tar_unexamined")

    def _read_info(self, scan: Scan, name: str, found: FoundItems) -> MediaInfo | None:
        if is_video(name) and self._variant.framerate is None:
            found.note("videos", name)
            return None
        try:
            info = scan.folder.read_info(name)
        except Unreadable:
            is_mixed = not is_video(name) and is_video(name.lower())
            found.note("webp" if name.endswith(".webp") else "mixed case" if is_mixed else "broken", name)
            return None
        if info.is_damaged:
            found.note("damaged", name)
            return None
        # The trainer reads further frames only of .webp files; of other images it uses the first.
        if name.endswith(".webp") and info.frames != 1:
            found.note("animated", name)
            return None
        if info.frames != 1 and name.lower().endswith(".gif"):
            found.note("still", name)
        return info

    def _take(self, scan: Scan, name: str, info: MediaInfo, captions: int | None, found: FoundItems) -> None:
        frames: int | None = 1
        if is_video(name):
            frames = self._frames(info)
            self._note_shown(name, info, found)
        elif self._variant.videos_only:
            found.note("images", name)
            return
        if frames is None:
            found.unknown = Reason.of("the header of a video does not state its length", "video_length_unknown")
            return
        each = 1 if captions in (None, _IN_FILE) else captions or 0
        found.items.append(Item(info.width, info.height, frames, each * scan.captions_each, name))

    def _decode(self, scan: Scan, companions: "_Companions", found: FoundItems) -> None:
        """Read the data of files with valid headers, and of their masks and control images."""
        own = {item.name: item.name for item in found.items}
        sides = (
            (scan.folder, "damaged", own),
            (scan.masks, "mask", companions.of(companions.masks, own)),
            (scan.controls, "control", companions.of(companions.controls, own)),
        )
        counted: dict[str, int | None] = {}  #: frames of videos whose headers state none
        for folder, problem, files in sides:
            if folder is None:
                continue
            decoded = folder.decode(list(files.values()), self._budget)
            found.undecoded += decoded.left
            for name, file in files.items():
                info = decoded.infos.get(file)
                if info is not None and info.is_damaged:
                    found.note(problem, name)
                elif info is not None and folder is scan.folder:
                    self._note_shown(name, info, found)
                    counted[name] = self._frames(info) if info.is_estimate else None
        damaged = set(found.names.get("damaged", ()))
        found.items = [
            replace(item, frames=counted.get(item.name) or item.frames)
            for item in found.items
            if item.name not in damaged
        ]

    def _note_shown(self, name: str, info: MediaInfo, found: FoundItems) -> None:
        if info.shown_frames is not None and info.frames_per_second:
            rate = self._variant.framerate or 0
            found.shown[name] = retimed_count(info.shown_frames, info.frames_per_second, rate)

    def _frames(self, info: MediaInfo) -> int | None:
        if info.frames is None or not info.frames_per_second:
            return None
        return retimed_count(info.frames, info.frames_per_second, self._variant.framerate or 0)

    def _check_companions(
        self, scan: Scan, name: str, info: MediaInfo, companions: "_Companions", found: FoundItems
    ) -> None:
        stem = Path(name).stem
        if companions.masks is not None or scan.default_mask is not None:
            own = (companions.masks or {}).get(stem)
            mask = scan.default_mask if own is None or scan.masks is None else partial(scan.masks.read_info, own)
            if mask is None:
                found.note("unmasked", name)
            elif (size := _size(mask)) != (info.width, info.height):
                found.note("mask" if size is None else "mask size", name)
        control = (companions.controls or {}).get(stem)
        if (
            control is not None
            and scan.controls is not None
            and _size(partial(scan.controls.read_info, control)) is None
        ):
            found.note("control", name)


@dataclass(frozen=True, slots=True)
class _Companions:
    masks: dict[str, str] | None  #: file names by stem
    controls: dict[str, str] | None

    @staticmethod
    def of(side: Mapping[str, str] | None, names: Iterable[str]) -> dict[str, str]:
        """Return the files of masks or controls that match these names."""
        stems = {name: Path(name).stem for name in names}
        return {name: side[stem] for name, stem in stems.items() if side is not None and stem in side}


_IN_FILE = -1  #: the caption is in a text file next to the media file
_BAD_CAPTIONS = -2  #: captions.json holds something other than a list of strings


#: Problems of caption files.
_CAPTION_PROBLEMS = {
    CaptionFile.UNREADABLE: "caption",
    CaptionFile.EMPTY: "empty",
    CaptionFile.MARKED: "marked",
}

#: Endings of caption files of other programs, which the trainer does not read.
_OTHER_ENDINGS = (".TXT", ".Txt", ".caption", ".captions", ".cap", ".txt.txt", ".md")


def _caption_name(name: str) -> str:
    return os.path.splitext(name)[0] + ".txt"


def _size(read: Callable[[], MediaInfo]) -> tuple[int, int] | None:
    try:
        info = read()
    except Unreadable:
        return None
    return None if info.is_damaged else (info.width, info.height)


def _other_caption(name: str, names: Mapping[str, bool]) -> str | None:
    """Return the ending of a file that looks like the caption of another program, or None."""
    stem = os.path.splitext(name)[0]
    return next((ending for ending in _OTHER_ENDINGS if stem + ending in names), None)


def _is_unreadable_format(name: str) -> bool:
    """Return whether a file has an image format that the trainer cannot read."""
    return not is_video(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES - OPENED_IMAGE_SUFFIXES


def _count_captions(name: str, names: Mapping[str, bool], captions: dict[str, Any] | None) -> int | None:
    if captions is None:
        return _IN_FILE if _caption_name(name) in names else None
    found = captions.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(caption, str) for caption in found):
        return _BAD_CAPTIONS
    return len(found)


def _other_key(media: Iterable[str], captions: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a key that is not the name of a file, but a stem or path of one or its name in another form; and the name.

    Names in a .tar are unknown here, and any key may be one of them.
    """
    names = set(media)
    if any(name.endswith(".tar") for name in names):
        return None
    wanted = {stem: name for name in media if name not in captions and _looks_like_media(name) for stem in _stems(name)}
    for key in captions if wanted else ():
        base = key.replace("\\", "/").rpartition("/")[2]
        for stem in _stems(base):
            if stem in wanted and key not in names:
                return key, wanted[stem]
    return None


def _stems(name: str) -> tuple[str, str]:
    return os.path.splitext(name)[0].lower(), name.lower()


def _is_candidate(name: str) -> bool:
    return os.path.splitext(name)[1] not in IGNORED_SUFFIXES


def _looks_like_media(name: str) -> bool:
    return is_video(name) or os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_plain_tar(start: bytes) -> bool:
    """Return whether the first block is a valid tar header. The trainer cannot open compressed archives."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        # An empty archive has no header, only empty blocks.
        return len(start) == tarfile.BLOCKSIZE and not start.strip(b"\0")
    return True
