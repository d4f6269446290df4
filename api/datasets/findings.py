"""What is to be said of the files of a version, apart from what a trainer says of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from api.datasets.check_models import DuplicatesView
from api.domain.dataset import ManifestItem, MediaKind
from api.domain.media import MediaProbe, MediaProblem
from api.errors import Mistake
from api.trainers.trainer import SizeBucket

#: Names of files in one sentence.
_MOST_NAMES = 5

#: A picture that is stretched by more than this looks soft; one of which more is cut away may lose its subject.
ENLARGED = 1.25
CROPPED = 0.3


@dataclass(slots=True)
class FileFindings:
    """Errors, which keep files from being trained on, and warnings."""

    errors: list[Mistake] = field(default_factory=list)
    warnings: list[Mistake] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rule:
    applies: Callable[[ManifestItem, MediaProbe], bool]
    message: str
    remedy: str
    is_error: bool = False
    by_itself: bool = False  #: said only where no trainer's rules say it


def _has(problem: MediaProblem) -> Callable[[ManifestItem, MediaProbe], bool]:
    return lambda item, probe: probe.facts.problem == problem


_RULES = (
    _Rule(
        _has(MediaProblem.CHANGED),
        "are no longer there as they were in this version",
        "Make a version of what is there now: POST …/refresh.",
        is_error=True,
    ),
    _Rule(
        lambda item, probe: (
            not probe.has_damaged_pixels
            and (
                probe.facts.problem in (MediaProblem.UNREADABLE, MediaProblem.BOMB)
                or probe.facts.kind is MediaKind.OTHER
            )
        ),
        "cannot be read as images or videos",
        "Remove or replace them.",
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: probe.has_damaged_pixels,
        "are images whose data is damaged or ends too early; a trainer fails or hangs on them",
        "Copy or download them again, or remove them.",
        is_error=True,
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: probe.facts.problem == MediaProblem.TRUNCATED and not probe.has_damaged_pixels,
        "are videos that lack their end, or have damaged frames",
        "Copy or download them again, or remove them.",
        is_error=True,
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: item.caption is None,
        "have no caption; unless skip_empty_caption is false they are not trained on",
        "Write captions for them.",
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: item.caption is not None and not item.caption.strip(),
        "have an empty caption; they are trained with none",
        "Write captions for them.",
        by_itself=True,
    ),
    _Rule(
        _has(MediaProblem.TURNED),
        "are turned by a note in them; the trainer chooses their crop by the sides as they are stored",
        "Save them turned, without the note.",
    ),
    _Rule(
        lambda item, probe: probe.facts.is_variable_rate is True,
        "have a variable frame rate; the trainer takes their frames as if they came evenly, and may count fewer",
        "Convert them to a constant frame rate.",
    ),
)


def find_in_files(
    items: Sequence[ManifestItem],
    probes: Mapping[str, MediaProbe],
    duplicates: DuplicatesView,
    *,
    by_itself: bool,
) -> FileFindings:
    """What is wrong with files, about items by their ids; `by_itself`: also what the rules of a trainer would say."""
    found = FileFindings()
    known = [(item, probes[item.sha256]) for item in items if item.sha256 in probes]
    for rule in _RULES:
        if rule.by_itself and not by_itself:
            continue
        affected = [item for item, probe in known if rule.applies(item, probe)]
        if affected:
            names = _list([item.path for item in affected])
            message = f"{len(affected)} of {len(items)} files {rule.message}: {names}."
            about = tuple(item.item_id for item in affected)
            (found.errors if rule.is_error else found.warnings).append(Mistake("", message, rule.remedy, about=about))
    found.warnings += _find_duplicates(duplicates)
    return found


def _find_duplicates(duplicates: DuplicatesView) -> Iterator[Mistake]:
    if duplicates.exact_groups:
        yield Mistake(
            "",
            f"Groups of files that are the same, byte for byte: {duplicates.exact_groups}. Each is trained on so many"
            " times.",
            "Keep one of each, or use num_repeats.",
        )
    if duplicates.near_groups:
        yield Mistake(
            "",
            f"Groups of files that look alike (of videos their first frames): {duplicates.near_groups}.",
            "Look at `duplicates.near`, and keep one of each group.",
        )


def find_in_buckets(
    items: Mapping[str, ManifestItem], probes: Mapping[str, MediaProbe], buckets: Sequence[SizeBucket]
) -> list[Mistake]:
    """Files, by the names that buckets have for them, whose size is odd for the bucket that they go into."""
    sizes = {name: probes[item.sha256].facts for name, item in items.items() if item.sha256 in probes}
    enlarged: dict[str, None] = {}
    cropped: dict[str, None] = {}
    for bucket in buckets:
        for name in bucket.names:
            width, height = sizes[name].width, sizes[name].height
            if not width or not height:
                continue
            scale = max(bucket.width / width, bucket.height / height)
            if scale > ENLARGED:
                enlarged[name] = None
            if 1 - bucket.width * bucket.height / (width * height * scale**2) > CROPPED:
                cropped[name] = None
    found = []
    if enlarged:
        found.append(
            Mistake(
                "",
                f"{len(enlarged)} of {len(items)} files are smaller than they are trained at, and enlarged by more than"
                f" {ENLARGED - 1:.0%}: {_list(list(enlarged))}.",
                "Use larger files, or a smaller resolution.",
                about=tuple(items[name].item_id for name in enlarged),
            )
        )
    if cropped:
        found.append(
            Mistake(
                "",
                f"Of {len(cropped)} of {len(items)} files more than {CROPPED:.0%} is cut away to fit their bucket:"
                f" {_list(list(cropped))}.",
                "Set enable_ar_bucket with more aspect ratios, or crop them yourself.",
                about=tuple(items[name].item_id for name in cropped),
            )
        )
    return found


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:100] for name in names[:_MOST_NAMES]) + more
