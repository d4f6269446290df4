"""Findings about the files of a directory that the trainer skips, fails on, or uses in unexpected ways."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.totals import Item
from api.trainers.pointers import shown

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
    unknown: str | None = None
    captions_unknown: bool = False
    has_captions_json: bool = False
    shown: dict[str, int] = field(default_factory=dict)  #: frames of videos that can be decoded, at the model's rate
    undecoded: int = 0  #: files whose data was not read for lack of time
    names: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, name: str) -> None:
        """Record a file with a problem."""
        self.names.setdefault(what, []).append(name)

    @property
    def notes(self) -> list[str]:
        """Sentences about what could not be determined."""
        notes = []
        if self.unknown is not None:
            notes.append(f"The totals are unknown: {self.unknown}.")
        if self.undecoded:
            notes.append(
                f"The data of {self.undecoded} files was not read for lack of time, and some may be damaged."
                " Check again to continue with them.",
            )
        return notes


@dataclass(frozen=True, slots=True)
class _FileProblem:
    what: str
    is_error: bool
    message: str
    remedy: str
    key: str = "path"


_FILE_PROBLEMS = (
    _FileProblem(
        "damaged",
        True,
        f"are damaged or truncated images. {HANGS}",
        "Copy or download them again, or remove them from the directory.",
    ),
    _FileProblem(
        "empty", False, "have an empty caption file; they are trained without a caption", "Write captions into them."
    ),
    _FileProblem("animated", True, f"are animated WebP images. {HANGS}", "Convert them to videos, or to still images."),
    _FileProblem("webp", True, f"are WebP files that cannot be read. {HANGS}", "Remove or replace them."),
    _FileProblem(
        "broken", False, "cannot be opened as image or video; the trainer skips them", "Replace or remove them."
    ),
    _FileProblem(
        "videos", False, "are videos, which this model type does not support; they are skipped", "Remove them."
    ),
    _FileProblem("images", True, "are images; this model trains on videos only, and the trainer fails", "Remove them."),
    _FileProblem(
        "captions", True, f"have an entry in {CAPTIONS} that is not a list. {HANGS}", "Write a list of captions."
    ),
    _FileProblem(
        "no captions", False, f"have an empty list in {CAPTIONS}; they are not used", "Add captions to the list."
    ),
    _FileProblem(
        "packed", True, f"are not plain .tar files. {HANGS}", "Create them again without compression: tar -cf."
    ),
    _FileProblem("caption", True, f"have a caption file that cannot be read as UTF-8. {HANGS}", "Save it as UTF-8."),
    _FileProblem(
        "unmasked", False, "have no mask; they are trained without one", "Add masks with the same names.", "mask_path"
    ),
    _FileProblem("mask", True, f"have a mask that cannot be read. {HANGS}", "Replace the mask.", "mask_path"),
    _FileProblem(
        "mask size", True, f"have a mask of another size. {HANGS}", "Give it the size of the image.", "mask_path"
    ),
    _FileProblem(
        "uncontrolled",
        True,
        f"have no control image. {HANGS}",
        "Add control images with the same names.",
        "control_path",
    ),
    _FileProblem("control", True, f"have a control image that cannot be read. {HANGS}", "Replace it.", "control_path"),
)


def report(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    """Add the findings about one directory; `at` returns the pointer of one of its keys, `media` counts its files."""
    _report_uncaptioned(at, found, media, findings)
    for problem in _FILE_PROBLEMS:
        names = found.names.get(problem.what)
        if not names:
            continue
        add = findings.error if problem.is_error else findings.warn
        add(
            at(problem.key),
            f"{len(names)} of {media} files {problem.message}: {list_names(names)}.",
            problem.remedy,
            names,
        )
    skipped = {name for what in ("broken", "videos") for name in found.names.get(what, ())}
    if skipped and not found.items and found.unknown is None and not found.names.keys() - {"broken", "videos", "stray"}:
        findings.error(
            at("path"), "None of its files can be used with this model type.", "Check the files in the directory."
        )


def _report_uncaptioned(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    names = found.names.get("uncaptioned", [])
    if found.unknown is None and len(names) + len(found.names.get("stray", ())) == media:
        if not names:
            findings.error(
                at("path"), f"None of its {media} files is an image or a video.", "Check the files in the directory."
            )
            return
        findings.error(
            at("path"),
            f"None of its {len(names)} files has a caption, and the trainer skips files without one.",
            _caption_remedy(found, names),
        )
    elif names:
        findings.warn(
            at("path"),
            f"{len(names)} of {media} files have no caption and are skipped: {list_names(names)}.",
            _caption_remedy(found, names),
            names,
        )


def _caption_remedy(found: FoundItems, names: list[str]) -> str:
    # With a captions.json, the trainer reads no text files. It reads none for files in a .tar, either.
    if found.has_captions_json:
        advice = f"Add a list of captions for each to {CAPTIONS}"
    elif any(name.endswith(".tar") for name in names):
        advice = f"Add a {CAPTIONS} with a list of captions for each name in the .tar"
    else:
        advice = f"Add a <name>.txt for each (or a {CAPTIONS})"
    return f"{advice}, or set skip_empty_caption = false."


def list_names(names: Sequence[str]) -> str:
    """Return the first names and the number of others."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(shown(name) for name in names[:_MAX_NAMES]) + more
