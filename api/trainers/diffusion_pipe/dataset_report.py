"""Findings about the files of a directory that the trainer skips, fails on, or uses in unexpected ways."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.totals import Item

CAPTIONS = "captions.json"

HANGS = "The trainer would hang and occupy its GPUs"

_MAX_NAMES = 5


@dataclass(slots=True)
class FoundItems:
    """The contents of one directory.

    `unknown` says why some items were not read; their captions may still exist.
    `names` lists the files with problems, by problem.
    """

    items: list[Item] = field(default_factory=list)
    unknown: Reason | None = None
    captions_unknown: bool = False
    has_captions_json: bool = False
    shown: dict[str, int] = field(default_factory=dict)  #: frames of videos that can be decoded, at the model's rate
    useless: tuple[str, Mapping[str, Any]] | None = None  #: code and parameters if the trainer uses none of its files
    caption_endings: set[str] = field(default_factory=set)  #: endings of caption files that the trainer does not read
    undecoded: int = 0  #: files whose data was not read for lack of time
    names: dict[str, list[str]] = field(default_factory=dict)
    other_key: tuple[str, str] | None = None  #: a key of captions.json that is no file name, and the name it stands for

    def note(self, what: str, name: str) -> None:
        """Record a file with a problem."""
        self.names.setdefault(what, []).append(name)

    @property
    def notes(self) -> list[Reason]:
        """Sentences about what could not be determined."""
        notes = []
        if self.unknown is not None:
            notes.append(Reason.of("The totals are unknown: {why}.", "note_totals_unknown", why=self.unknown))
        if self.undecoded:
            notes.append(
                Reason.of(
                    "The data of {files} {files|file|files} was not read for lack of time, and some may be damaged."
                    " Check again to continue with them.",
                    "note_undecoded",
                    files=self.undecoded,
                )
            )
        return notes


@dataclass(frozen=True, slots=True)
class _FileProblem:
    what: str
    is_error: bool
    code: str
    key: str = "path"


#: Problems of files that the trainer skips.
_SKIPPED = {"broken", "mixed case", "videos", "not media", "format", "link"}

_FILE_PROBLEMS = (
    _FileProblem("damaged", True, "files_damaged"),
    _FileProblem("empty", False, "captions_empty"),
    _FileProblem("link", False, "files_linked"),
    _FileProblem("marked", False, "captions_marked"),
    _FileProblem("still", False, "gifs_still"),
    _FileProblem("animated", True, "webp_animated"),
    _FileProblem("webp", True, "webp_unreadable"),
    _FileProblem("broken", False, "files_broken"),
    _FileProblem("mixed case", False, "endings_mixed_case"),
    _FileProblem("videos", False, "videos_unsupported"),
    _FileProblem("images", True, "images_unsupported"),
    _FileProblem("captions", True, "caption_lists_invalid"),
    _FileProblem("no captions", False, "caption_lists_empty"),
    _FileProblem("packed", True, "archives_compressed"),
    _FileProblem("caption", True, "captions_not_utf8"),
    _FileProblem("unmasked", False, "masks_missing", "mask_path"),
    _FileProblem("mask", True, "masks_unreadable", "mask_path"),
    _FileProblem("mask size", True, "masks_of_other_size", "mask_path"),
    _FileProblem("uncontrolled", True, "control_images_missing", "control_path"),
    _FileProblem("stray uncontrolled", True, "control_images_for_others", "control_path"),
    _FileProblem("uncontrolled archive", True, "archives_uncontrolled", "control_path"),
    _FileProblem("control", True, "control_images_unreadable", "control_path"),
)


def report(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    """Add the findings about one directory; `at` returns the pointer of one of its keys, `media` counts its files."""
    _report_formats(at, found, media, findings)
    _report_uncaptioned(at, found, media, findings)
    for problem in _FILE_PROBLEMS:
        names = found.names.get(problem.what)
        if not names:
            continue
        add = findings.error if problem.is_error else findings.warn
        add(at(problem.key), problem.code, about=names, count=len(names), media=media, names=list_names(names))
    if not found.items and found.unknown is None and found.useless is None and not found.names.keys() - _SKIPPED:
        found.useless = "no_usable_files", {"advice": _why_skipped(found)}


def _why_skipped(found: FoundItems) -> Reason:
    broken, videos = (len(found.names.get(what, ())) for what in ("broken", "videos"))
    if "mixed case" in found.names:
        return Reason.of("Rename them: the trainer knows .mp4 and .MP4, but not .Mp4.", "advice_rename")
    if not broken:
        return Reason.of("Train a model type for videos, or add images.", "advice_other_type")
    if not videos:
        return Reason.of("Replace them: none can be opened as an image or video.", "advice_replace")
    return Reason.of(
        "Replace the files that cannot be opened, and use a model type for videos, or add images.",
        "advice_replace_or_other_type",
    )


def _report_formats(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    names = found.names.get("format", [])
    endings = ", ".join(sorted({os.path.splitext(name)[1] for name in names}))
    if names and len(names) == media and found.unknown is None:
        found.useless = "all_files_unreadable", {"media": media, "endings": endings}
    elif names:
        findings.warn(
            at("path"),
            "files_unreadable",
            about=names,
            count=len(names),
            media=media,
            endings=endings,
            names=list_names(names),
        )


def _report_uncaptioned(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    names = found.names.get("uncaptioned", [])
    if found.unknown is None and len(names) + len(found.names.get("not media", ())) == media:
        if not names:
            found.useless = "no_media", {"media": media}
            return
        others = len(found.names.get("other caption", ()))
        params = {"files": len(names), "advice": _caption_advice(found, names)}
        found.useless = "no_captions", params
        if others == len(names):
            found.useless = "all_captions_of_other_kind", {**params, "endings": _endings(found)}
    elif names:
        findings.warn(
            at("path"),
            "captions_missing",
            about=names,
            remedy=_caption_advice(found, names),
            count=len(names),
            media=media,
            names=list_names(names),
        )


def _caption_advice(found: FoundItems, names: list[str]) -> Reason:
    if found.caption_endings:
        return Reason.of(
            "{others} captions end in {endings}, and only .txt is read: rename them to .txt.",
            "advice_caption_endings",
            others=len(found.names.get("other caption", ())),
            endings=_endings(found),
        )
    # With a captions.json, the trainer reads no text files. It reads none for files in a .tar, either.
    if found.has_captions_json and found.other_key is not None:
        wrong, right = map(shown, found.other_key)
        return Reason.of(
            "The keys of captions.json must be whole file names: write `{right}` instead of `{wrong}`.",
            "advice_caption_key",
            right=right,
            wrong=wrong,
        )
    if found.has_captions_json:
        return Reason.of(
            "Add a list of captions for each to captions.json, or set skip_empty_caption = false.",
            "advice_caption_list",
        )
    if any(name.endswith(".tar") for name in names):
        return Reason.of(
            "Add a captions.json with a list of captions for each name in the .tar, or set skip_empty_caption = false.",
            "advice_caption_list_for_tar",
        )
    return Reason.of(
        "Add a <name>.txt for each (or a captions.json), or set skip_empty_caption = false.", "advice_caption_files"
    )


def _endings(found: FoundItems) -> str:
    return ", ".join(sorted(found.caption_endings))


def list_names(names: Sequence[str]) -> str:
    """Return the first names and the number of others."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(shown(name) for name in names[:_MAX_NAMES]) + more
