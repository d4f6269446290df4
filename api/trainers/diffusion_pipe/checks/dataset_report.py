"""Findings about the files of a directory that the trainer skips, fails on, or uses in unexpected ways."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.domain.finding import shown
from api.domain.reason import Reason
from api.errors import FindingText
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.dataset.totals import Item

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
    useless: tuple[FindingText, Mapping[str, Any]] | None = (
        None  #: text and parameters if the trainer uses none of its files
    )
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
    text: FindingText
    key: str = "path"


#: Problems of files that the trainer skips.
_SKIPPED = {"broken", "mixed case", "videos", "not media", "format", "link"}

_FILE_PROBLEMS = (
    _FileProblem(
        "damaged",
        True,
        FindingText(
            "files_damaged",
            (
                "{count} of {media} files are damaged or truncated images. The trainer would hang and occupy its "
                "GPUs: {names}."
            ),
            "Copy or download them again, or remove them from the directory.",
        ),
    ),
    _FileProblem(
        "empty",
        False,
        FindingText(
            "captions_empty",
            "{count} of {media} files have an empty caption file; they are trained without a caption: {names}.",
            "Write captions into them.",
        ),
    ),
    _FileProblem(
        "link",
        False,
        FindingText(
            "files_linked",
            "{count} of {media} files are directories or links to missing files; the trainer skips them: {names}.",
            "Correct the links, or remove them.",
        ),
    ),
    _FileProblem(
        "marked",
        False,
        FindingText(
            "captions_marked",
            (
                "{count} of {media} files have a caption that starts with an invisible byte-order mark, which the"
                " trainer keeps: {names}."
            ),
            "Save the captions as UTF-8 without a byte-order mark (BOM).",
        ),
    ),
    _FileProblem(
        "still",
        False,
        FindingText(
            "gifs_still",
            "{count} of {media} files are animated GIFs, of which the trainer uses the first frame: {names}.",
            "Convert them to videos.",
        ),
    ),
    _FileProblem(
        "animated",
        True,
        FindingText(
            "webp_animated",
            "{count} of {media} files are animated WebP images. The trainer would hang and occupy its GPUs: {names}.",
            "Convert them to videos, or to still images.",
        ),
    ),
    _FileProblem(
        "webp",
        True,
        FindingText(
            "webp_unreadable",
            (
                "{count} of {media} files are WebP files that cannot be read. The trainer would hang and occupy "
                "its GPUs: {names}."
            ),
            "Remove or replace them.",
        ),
    ),
    _FileProblem(
        "broken",
        False,
        FindingText(
            "files_broken",
            "{count} of {media} files cannot be opened as image or video; the trainer skips them: {names}.",
            "Replace or remove them.",
        ),
    ),
    _FileProblem(
        "mixed case",
        False,
        FindingText(
            "endings_mixed_case",
            (
                "{count} of {media} files are videos that the trainer takes for images and skips, because their "
                "endings mix cases: {names}."
            ),
            "Rename them: the trainer knows .mp4 and .MP4, but not .Mp4.",
        ),
    ),
    _FileProblem(
        "videos",
        False,
        FindingText(
            "videos_unsupported",
            "{count} of {media} files are videos, which this model type does not support; they are skipped: {names}.",
            "Remove them.",
        ),
    ),
    _FileProblem(
        "images",
        True,
        FindingText(
            "images_unsupported",
            "{count} of {media} files are images; this model trains on videos only, and the trainer fails: {names}.",
            "Remove them.",
        ),
    ),
    _FileProblem(
        "captions",
        True,
        FindingText(
            "caption_lists_invalid",
            (
                "{count} of {media} files have an entry in captions.json that is not a list of strings. The "
                "trainer would hang and occupy its GPUs: {names}."
            ),
            'Write a list of captions: ["a caption"].',
        ),
    ),
    _FileProblem(
        "no captions",
        False,
        FindingText(
            "caption_lists_empty",
            "{count} of {media} files have an empty list in captions.json; they are not used: {names}.",
            "Add captions to the list.",
        ),
    ),
    _FileProblem(
        "packed",
        True,
        FindingText(
            "archives_compressed",
            "{count} of {media} files are not plain .tar files. The trainer would hang and occupy its GPUs: {names}.",
            "Create them again without compression: tar -cf.",
        ),
    ),
    _FileProblem(
        "caption",
        True,
        FindingText(
            "captions_not_utf8",
            (
                "{count} of {media} files have a caption file that cannot be read as UTF-8. The trainer would "
                "hang and occupy its GPUs: {names}."
            ),
            "Save it as UTF-8.",
        ),
    ),
    _FileProblem(
        "unmasked",
        False,
        FindingText(
            "masks_missing",
            "{count} of {media} files have no mask; they are trained without one: {names}.",
            "Add masks with the same names.",
        ),
        "mask_path",
    ),
    _FileProblem(
        "mask",
        True,
        FindingText(
            "masks_unreadable",
            (
                "{count} of {media} files have a mask that cannot be read. The trainer would hang and occupy its "
                "GPUs: {names}."
            ),
            "Replace it. Move captions and other files without images out of this directory.",
        ),
        "mask_path",
    ),
    _FileProblem(
        "mask size",
        True,
        FindingText(
            "masks_of_other_size",
            (
                "{count} of {media} files have a mask of another size. The trainer would hang and occupy its GPUs: "
                "{names}."
            ),
            "Give it the size of the image.",
        ),
        "mask_path",
    ),
    _FileProblem(
        "uncontrolled",
        True,
        FindingText(
            "control_images_missing",
            "{count} of {media} files have no control image. The trainer would hang and occupy its GPUs: {names}.",
            "Add control images with the same names.",
        ),
        "control_path",
    ),
    _FileProblem(
        "stray uncontrolled",
        True,
        FindingText(
            "control_images_for_others",
            (
                "{count} of {media} files are no images or videos, but the trainer needs a control image for each"
                " file. The trainer would hang and occupy its GPUs: {names}."
            ),
            "Move them out of this directory.",
        ),
        "control_path",
    ),
    _FileProblem(
        "uncontrolled archive",
        True,
        FindingText(
            "archives_uncontrolled",
            (
                "{count} of {media} files are archives, and a file in them has no control image. The trainer "
                "would hang and occupy its GPUs: {names}."
            ),
            "Add a control image for each name in the .tar, or move the archive into a directory without control_path.",
        ),
        "control_path",
    ),
    _FileProblem(
        "control",
        True,
        FindingText(
            "control_images_unreadable",
            (
                "{count} of {media} files have a control image that cannot be read. The trainer would hang and "
                "occupy its GPUs: {names}."
            ),
            "Replace it. Move captions and other files without images out of this directory.",
        ),
        "control_path",
    ),
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
        add(at(problem.key), problem.text, about=names, count=len(names), media=media, names=list_names(names))
    if not found.items and found.unknown is None and found.useless is None and not found.names.keys() - _SKIPPED:
        found.useless = (
            FindingText("no_usable_files", "None of its files can be used with this model type.", "{advice}"),
            {"advice": _why_skipped(found)},
        )


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
        found.useless = (
            FindingText(
                "all_files_unreadable",
                "All {media} files are {endings}, which no model type can read.",
                "Convert them to JPEG or PNG.",
            ),
            {"media": media, "endings": endings},
        )
    elif names:
        findings.warn(
            at("path"),
            FindingText(
                "files_unreadable",
                "{count} of {media} files are {endings}, which no model type can read; they are skipped: {names}.",
                "Convert them to JPEG or PNG.",
            ),
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
            found.useless = (
                FindingText(
                    "no_media", "None of its {media} files is an image or a video.", "Set the directory of the images."
                ),
                {"media": media},
            )
            return
        others = len(found.names.get("other caption", ()))
        params = {"files": len(names), "advice": _caption_advice(found, names)}
        found.useless = (
            FindingText(
                "no_captions",
                "None of its {files} files has a caption, and the trainer skips files without one.",
                "{advice}",
            ),
            params,
        )
        if others == len(names):
            found.useless = (
                FindingText(
                    "all_captions_of_other_kind",
                    "All {files} captions end in {endings}, but the trainer reads only .txt.",
                    "{advice}",
                ),
                {**params, "endings": _endings(found)},
            )
    elif names:
        findings.warn(
            at("path"),
            FindingText("captions_missing", "{count} of {media} files have no caption and are skipped: {names}."),
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
