"""What is said of the files of a directory that the trainer skips, chokes on, or takes otherwise than meant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.totals import Item
from api.trainers.pointers import shown

CAPTIONS = "captions.json"

HANGS = "The trainer hangs on it, holding its GPUs"

_MOST_NAMES = 5


@dataclass(slots=True)
class FoundItems:
    """What was found in one directory. `unknown` says why some items were not seen; then their captions may exist all
    the same. `names` are those of the files about which there is something to say, by a word for it.
    """

    items: list[Item] = field(default_factory=list)
    unknown: str | None = None
    captions_unknown: bool = False
    has_captions_json: bool = False
    shown: dict[str, int] = field(default_factory=dict)  #: of videos: the frames that are there, at the model's rate
    undecoded: int = 0  #: files whose data was not read for lack of time
    names: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, name: str) -> None:
        """Notes the name of a file under what is wrong with it."""
        self.names.setdefault(what, []).append(name)

    @property
    def notes(self) -> list[str]:
        """What could not be known, as sentences."""
        notes = []
        if self.unknown is not None:
            notes.append(f"The totals are not known: {self.unknown}.")
        if self.undecoded:
            notes.append(
                f"The data of {self.undecoded} files was not read for lack of time, so that damaged ones may be among"
                " them: check again, which goes on from there."
            )
        return notes


@dataclass(frozen=True, slots=True)
class _Complaint:
    what: str
    is_error: bool
    message: str
    remedy: str
    key: str = "path"


_COMPLAINTS = (
    _Complaint(
        "damaged",
        True,
        f"are images whose data is damaged or ends too early. {HANGS}",
        "Copy or download them again, or remove them.",
    ),
    _Complaint(
        "empty", False, "have an empty caption file; they are trained with no caption", "Write captions into them."
    ),
    _Complaint(
        "animated", True, f"are animated WebP images. {HANGS}", "Convert them to videos, or to images of one frame."
    ),
    _Complaint("webp", True, f"are WebP files that cannot be read. {HANGS}", "Remove or replace them."),
    _Complaint(
        "broken", False, "cannot be opened as image or video; the trainer skips them", "Remove or replace them."
    ),
    _Complaint("videos", False, "are videos, which this model type does not take; they are skipped", "Remove them."),
    _Complaint(
        "images", True, "are images; this model is trained on videos only, and the trainer fails", "Remove them."
    ),
    _Complaint(
        "captions", True, f"have something else than a list in {CAPTIONS}. {HANGS}", "Write a list of captions."
    ),
    _Complaint(
        "no captions", False, f"have an empty list in {CAPTIONS}; they are not trained on", "Write captions into it."
    ),
    _Complaint("packed", True, f"are no plain .tar files. {HANGS}", "Pack them anew without compression: tar -cf."),
    _Complaint("caption", True, f"have a caption file that cannot be read as UTF-8. {HANGS}", "Save it as UTF-8."),
    _Complaint(
        "unmasked", False, "have no mask; they are trained on whole", "Add masks of the same names.", "mask_path"
    ),
    _Complaint("mask", True, f"have a mask that cannot be read. {HANGS}", "Replace the mask.", "mask_path"),
    _Complaint(
        "mask size", True, f"have a mask of another size. {HANGS}", "Make it as large as the image.", "mask_path"
    ),
    _Complaint(
        "uncontrolled", True, f"have no control image. {HANGS}", "Add images of the same names.", "control_path"
    ),
    _Complaint("control", True, f"have a control image that cannot be read. {HANGS}", "Replace it.", "control_path"),
)


def report(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    """Says it; `at` gives the pointer of a key of the directory, which has so many media files."""
    _report_uncaptioned(at, found, media, findings)
    for complaint in _COMPLAINTS:
        names = found.names.get(complaint.what)
        if not names:
            continue
        say = findings.error if complaint.is_error else findings.warn
        say(
            at(complaint.key),
            f"{len(names)} of {media} files {complaint.message}: {list_names(names)}.",
            complaint.remedy,
            names,
        )
    skipped = {name for what in ("broken", "videos") for name in found.names.get(what, ())}
    if skipped and not found.items and found.unknown is None and not found.names.keys() - {"broken", "videos", "stray"}:
        findings.error(at("path"), "None of its files can be used for this model type.", "Look into the directory.")


def _report_uncaptioned(at: Callable[..., str], found: FoundItems, media: int, findings: Findings) -> None:
    names = found.names.get("uncaptioned", [])
    if found.unknown is None and len(names) + len(found.names.get("stray", ())) == media:
        if not names:
            findings.error(at("path"), f"None of its {media} files is an image or a video.", "Look into the directory.")
            return
        findings.error(
            at("path"),
            f"None of its {len(names)} files has a caption, and without one each is skipped.",
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
    # Beside a captions.json no text file is read, and none that belongs to what is in a .tar.
    if found.has_captions_json:
        advice = f"Give each a list of captions in {CAPTIONS}"
    elif any(name.endswith(".tar") for name in names):
        advice = f"Add a {CAPTIONS} with a list of captions for each name in the .tar"
    else:
        advice = f"Put a <name>.txt beside each (or a {CAPTIONS})"
    return f"{advice}, or set skip_empty_caption = false."


def list_names(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(shown(name) for name in names[:_MOST_NAMES]) + more
