"""Findings about the files of a version that do not depend on a trainer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from api.datasets.checks.views import DuplicatesView
from api.domain.datasets.dataset import ManifestItem, MediaKind
from api.domain.datasets.media import MediaProbe, MediaProblem
from api.domain.finding import make_finding
from api.errors import Finding, FindingText
from api.trainers.trainer import SizeBucket

#: Most file names in one sentence.
_MOST_NAMES = 5

#: Pictures that are enlarged by more look soft; pictures that lose a larger part may lose their subject.
ENLARGED = 1.25
CROPPED = 0.3


@dataclass(slots=True)
class FileFindings:
    """Errors, which prevent training on files, and warnings."""

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rule:
    applies: Callable[[ManifestItem, MediaProbe], bool]
    text: FindingText
    is_error: bool = False
    by_itself: bool = False  #: only reported if no trainer's rules report it


def _has(problem: MediaProblem) -> Callable[[ManifestItem, MediaProbe], bool]:
    return lambda item, probe: probe.facts.problem == problem


_RULES = (
    _Rule(
        _has(MediaProblem.CHANGED),
        FindingText(
            "dataset_files_changed",
            "{count} of {items} files have changed or were deleted since this version: {names}.",
            "Make a version of the current files: POST …/refresh.",
        ),
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
        FindingText(
            "dataset_files_unreadable",
            "{count} of {items} files cannot be read as images or videos: {names}.",
            "Remove or replace them.",
        ),
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: probe.has_damaged_pixels,
        FindingText(
            "dataset_images_damaged",
            (
                "{count} of {items} files are images whose data is damaged or incomplete; a trainer fails or "
                "hangs on them: {names}."
            ),
            "Copy or download them again, or remove them.",
        ),
        is_error=True,
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: probe.facts.problem == MediaProblem.TRUNCATED and not probe.has_damaged_pixels,
        FindingText(
            "dataset_videos_damaged",
            "{count} of {items} files are videos that are incomplete or have damaged frames: {names}.",
            "Copy or download them again, or remove them.",
        ),
        is_error=True,
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: item.caption is None,
        FindingText(
            "dataset_captions_missing",
            (
                "{count} of {items} files have no caption; they are not trained on unless skip_empty_caption is "
                "false: {names}."
            ),
            "Add captions to them.",
        ),
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: item.caption is not None and not item.caption.strip(),
        FindingText(
            "dataset_captions_empty",
            "{count} of {items} files have an empty caption; they are trained without one: {names}.",
            "Add captions to them.",
        ),
        by_itself=True,
    ),
    _Rule(
        _has(MediaProblem.TURNED),
        FindingText(
            "dataset_files_turned",
            (
                "{count} of {items} files are rotated by metadata; the trainer chooses their crop by the sides as"
                " stored: {names}."
            ),
            "Save them rotated, without that metadata.",
        ),
    ),
    _Rule(
        lambda item, probe: probe.facts.is_variable_rate is True,
        FindingText(
            "dataset_rates_variable",
            (
                "{count} of {items} files have a variable frame rate; the trainer treats their frames as evenly "
                "spaced, and may use fewer: {names}."
            ),
            "Convert them to a constant frame rate.",
        ),
    ),
)


def find_in_files(
    items: Sequence[ManifestItem],
    probes: Mapping[str, MediaProbe],
    duplicates: DuplicatesView,
    *,
    by_itself: bool,
) -> FileFindings:
    """Return findings about files, with the ids of the affected items.

    `by_itself`: also report what a trainer's rules would report.
    """
    found = FileFindings()
    known = [(item, probes[item.sha256]) for item in items if item.sha256 in probes]
    for rule in _RULES:
        if rule.by_itself and not by_itself:
            continue
        affected = [item for item, probe in known if rule.applies(item, probe)]
        if affected:
            names = _list([item.path for item in affected])
            about = (item.item_id for item in affected)
            made = make_finding("", rule.text, about=about, count=len(affected), items=len(items), names=names)
            (found.errors if rule.is_error else found.warnings).append(made)
    found.warnings += _find_duplicates(duplicates)
    return found


def _find_duplicates(duplicates: DuplicatesView) -> Iterator[Finding]:
    if duplicates.exact_groups:
        yield make_finding(
            "",
            FindingText(
                "exact_duplicates",
                "Groups of byte-identical files: {count}. The trainer uses every copy.",
                "Keep one file of each group; use num_repeats to repeat it.",
            ),
            count=duplicates.exact_groups,
        )
    if duplicates.near_groups:
        yield make_finding(
            "",
            FindingText(
                "near_duplicates",
                "Groups of files that look alike (of videos their first frames): {count}.",
                "Review `duplicates.near` and keep one file of each group.",
            ),
            count=duplicates.near_groups,
        )


def find_in_buckets(
    items: Mapping[str, ManifestItem], probes: Mapping[str, MediaProbe], buckets: Sequence[SizeBucket]
) -> list[Finding]:
    """Find files that are much enlarged or cropped to fit their bucket. `items` maps the names in buckets to items."""
    sizes = {name: probes[item.sha256].facts for name, item in items.items() if item.sha256 in probes}
    enlarged: list[str] = []
    cropped: list[str] = []
    for bucket in buckets:
        for name in bucket.names:
            width, height = sizes[name].width, sizes[name].height
            if not width or not height:
                continue
            scale = max(bucket.width / width, bucket.height / height)
            if scale > ENLARGED:
                enlarged.append(name)
            if 1 - bucket.width * bucket.height / (width * height * scale**2) > CROPPED:
                cropped.append(name)
    return [
        make_finding(
            "",
            text,
            about=tuple(items[name].item_id for name in names),
            count=len(names),
            items=len(items),
            percent=f"{share:.0%}",
            names=_list(names),
        )
        for text, share, found in (
            (
                FindingText(
                    "files_enlarged",
                    (
                        "{count} of {items} files are smaller than the training size, and enlarged by more than "
                        "{percent}: {names}."
                    ),
                    "Use larger files, or a lower resolution.",
                ),
                ENLARGED - 1,
                enlarged,
            ),
            (
                FindingText(
                    "files_cropped",
                    "{count} of {items} files lose more than {percent} of their area to fit their bucket: {names}.",
                    "Set enable_ar_bucket with more aspect ratios, or crop them yourself.",
                ),
                CROPPED,
                cropped,
            ),
        )
        if (names := list(dict.fromkeys(found)))
    ]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:100] for name in names[:_MOST_NAMES]) + more
