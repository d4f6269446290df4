"""Looks into the directories of a dataset: which files the trainer will take, skip, or choke on."""

import json
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe.dataset_report import CAPTIONS, HANGS, FoundItems, report
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.folders import CaptionFile, Folder
from api.trainers.diffusion_pipe.model_check import Variant
from api.trainers.diffusion_pipe.retiming import retimed_count
from api.trainers.diffusion_pipe.totals import Item
from api.trainers.media import IMAGE_SUFFIXES, PASSED_OVER, Budget, Look, Unreadable, is_video

_MOST_JSON_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scan:
    """What is looked for in one directory."""

    folder: Folder
    at: Callable[..., str]  #: the pointer of a key of this directory
    skip_uncaptioned: bool = True
    captions_each: int = 1  #: how many captions one caption counts for
    needs_captions_json: bool = False
    masks: Folder | None = None
    default_mask: Callable[[], Look] | None = None  #: what the default mask is; raises Unreadable
    controls: Folder | None = None


class DatasetScanner:
    """Scans directories within one budget."""

    def __init__(self, budget: Budget, variant: Variant, findings: Findings) -> None:
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
        names = self._list(scan.folder, found)
        found.captions_unknown = found.unknown is not None
        found.has_captions_json = CAPTIONS in names
        captions = self._read_captions(scan, names, found)
        media = sorted(name for name, is_file in names.items() if is_file and _is_candidate(name))
        if not media:
            if found.unknown is None:
                self._findings.error(
                    scan.at("path"),
                    f"This directory has no images or videos. {HANGS}.",
                    "Name the directory that has them.",
                )
            return found
        companions = self._companions(scan, found)
        for position, name in enumerate(media):
            if self._budget.is_spent:
                found.unknown = f"{len(media) - position} of {len(media)} files were not looked at for lack of time"
                break
            self._look(scan, name, _count_captions(name, names, captions), companions, found)
        self._decode(scan, companions, found)
        report(scan.at, found, len(media), self._findings)
        return found

    def _list(self, folder: Folder, found: FoundItems) -> Mapping[str, bool]:
        listing = folder.list(self._budget)
        found.unknown = listing.unknown or found.unknown
        return listing.names

    def _companions(self, scan: Scan, found: FoundItems) -> "_Companions":
        # Among names that were not all read, a missing one means nothing.
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
                    f"online_captions needs a {CAPTIONS} here.",
                    "Add it, or leave this out.",
                )
            return None
        text = scan.folder.start_of(CAPTIONS, _MOST_JSON_BYTES + 1)
        if len(text) > _MOST_JSON_BYTES:
            found.unknown = f"{CAPTIONS} is too large to be read here"
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
            scan.at("path"), f"{CAPTIONS} is no JSON object. {HANGS}.", 'Write {"name.png": ["a caption"]}.'
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
        if captions == _IN_FILE and (word := _CAPTION_WORDS.get(scan.folder.caption_file(_caption_name(name)))):
            found.note(word, name)
        look = self._look_at(scan, name, found)
        if look is not None:
            self._take(scan, name, look, captions, found)
            self._check_companions(scan, name, look, companions, found)

    def _look_at_tar(self, scan: Scan, name: str, found: FoundItems) -> None:
        if not _is_plain_tar(scan.folder.start_of(name, tarfile.BLOCKSIZE)):
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
            look = scan.folder.look(name)
        except Unreadable:
            found.note("webp" if name.endswith(".webp") else "broken", name)
            return None
        if look.is_damaged:
            found.note("damaged", name)
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
            self._note_shown(name, look, found)
        elif self._variant.videos_only:
            found.note("images", name)
            return
        if frames is None:
            found.unknown = "the length of a video cannot be told from its header"
            return
        each = 1 if captions in (None, _IN_FILE) else captions or 0
        found.items.append(Item(look.width, look.height, frames, each * scan.captions_each, name))

    def _decode(self, scan: Scan, companions: "_Companions", found: FoundItems) -> None:
        """Reads the data of files whose headers are good, and of their masks and control images."""
        own = {item.name: item.name for item in found.items}
        sides = (
            (scan.folder, "damaged", own),
            (scan.masks, "mask", companions.of(companions.masks, own)),
            (scan.controls, "control", companions.of(companions.controls, own)),
        )
        counted: dict[str, int | None] = {}  #: the frames of videos whose headers state none
        for folder, word, files in sides:
            if folder is None:
                continue
            decoded = folder.decode(list(files.values()), self._budget)
            found.undecoded += decoded.left
            for name, file in files.items():
                look = decoded.looks.get(file)
                if look is not None and look.is_damaged:
                    found.note(word, name)
                elif look is not None and folder is scan.folder:
                    self._note_shown(name, look, found)
                    counted[name] = self._frames(look) if look.is_estimate else None
        damaged = set(found.names.get("damaged", ()))
        found.items = [
            replace(item, frames=counted.get(item.name) or item.frames)
            for item in found.items
            if item.name not in damaged
        ]

    def _note_shown(self, name: str, look: Look, found: FoundItems) -> None:
        if look.shown_frames is not None and look.frames_per_second:
            rate = self._variant.framerate or 0
            found.shown[name] = retimed_count(look.shown_frames, look.frames_per_second, rate)

    def _frames(self, look: Look) -> int | None:
        if look.frames is None or not look.frames_per_second:
            return None
        return retimed_count(look.frames, look.frames_per_second, self._variant.framerate or 0)

    def _check_companions(
        self, scan: Scan, name: str, look: Look, companions: "_Companions", found: FoundItems
    ) -> None:
        stem = Path(name).stem
        if companions.masks is not None or scan.default_mask is not None:
            own = (companions.masks or {}).get(stem)
            mask = scan.default_mask if own is None or scan.masks is None else partial(scan.masks.look, own)
            if mask is None:
                found.note("unmasked", name)
            elif (size := _size(mask)) != (look.width, look.height):
                found.note("mask" if size is None else "mask size", name)
        control = (companions.controls or {}).get(stem)
        if control is not None and scan.controls is not None and _size(partial(scan.controls.look, control)) is None:
            found.note("control", name)


@dataclass(frozen=True, slots=True)
class _Companions:
    masks: dict[str, str] | None  #: the names of their files by stem
    controls: dict[str, str] | None

    @staticmethod
    def of(side: Mapping[str, str] | None, names: Iterable[str]) -> dict[str, str]:
        """Return the files of one side that belong to these names."""
        stems = {name: Path(name).stem for name in names}
        return {name: side[stem] for name, stem in stems.items() if side is not None and stem in side}


_IN_FILE = -1  #: the caption is in a text file beside the media file
_BAD_CAPTIONS = -2  #: captions.json holds something other than a list


#: Words for what the file of a caption holds, where there is something to say about it.
_CAPTION_WORDS = {CaptionFile.UNREADABLE: "caption", CaptionFile.EMPTY: "empty"}


def _caption_name(name: str) -> str:
    return os.path.splitext(name)[0] + ".txt"


def _size(look_at: Callable[[], Look]) -> tuple[int, int] | None:
    try:
        look = look_at()
    except Unreadable:
        return None
    return None if look.is_damaged else (look.width, look.height)


def _count_captions(name: str, names: Mapping[str, bool], captions: dict[str, Any] | None) -> int | None:
    if captions is None:
        return _IN_FILE if _caption_name(name) in names else None
    found = captions.get(name)
    if found is None:
        return None
    return len(found) if isinstance(found, list) else _BAD_CAPTIONS


def _is_candidate(name: str) -> bool:
    return os.path.splitext(name)[1] not in PASSED_OVER


def _looks_like_media(name: str) -> bool:
    return is_video(name) or os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_plain_tar(start: bytes) -> bool:
    """Whether the first block is a header of the format itself: what is packed in it, too, the trainer cannot open."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        # An archive of nothing has no header, only empty blocks.
        return len(start) == tarfile.BLOCKSIZE and not start.strip(b"\0")
    return True
