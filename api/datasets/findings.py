"""Findings about the files of a version that do not depend on a trainer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from api.datasets.check_models import DuplicatesView
from api.domain.dataset import ManifestItem, MediaKind
from api.domain.finding import make_finding
from api.domain.media import MediaProbe, MediaProblem
from api.errors import Finding
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
    code: str
    is_error: bool = False
    by_itself: bool = False  #: only reported if no trainer's rules report it


def _has(problem: MediaProblem) -> Callable[[ManifestItem, MediaProbe], bool]:
    return lambda item, probe: probe.facts.problem == problem


_RULES = (
    _Rule(
        _has(MediaProblem.CHANGED),
        "dataset_files_changed",
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
        "dataset_files_unreadable",
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: probe.has_damaged_pixels,
        "dataset_images_damaged",
        is_error=True,
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: probe.facts.problem == MediaProblem.TRUNCATED and not probe.has_damaged_pixels,
        "dataset_videos_damaged",
        is_error=True,
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: item.caption is None,
        "dataset_captions_missing",
        by_itself=True,
    ),
    _Rule(
        lambda item, probe: item.caption is not None and not item.caption.strip(),
        "dataset_captions_empty",
        by_itself=True,
    ),
    _Rule(
        _has(MediaProblem.TURNED),
        "dataset_files_turned",
    ),
    _Rule(
        lambda item, probe: probe.facts.is_variable_rate is True,
        "dataset_rates_variable",
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
            made = make_finding("", rule.code, about=about, count=len(affected), items=len(items), names=names)
            (found.errors if rule.is_error else found.warnings).append(made)
    found.warnings += _find_duplicates(duplicates)
    return found


def _find_duplicates(duplicates: DuplicatesView) -> Iterator[Finding]:
    if duplicates.exact_groups:
        yield make_finding("", "exact_duplicates", count=duplicates.exact_groups)
    if duplicates.near_groups:
        yield make_finding("", "near_duplicates", count=duplicates.near_groups)


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
            code,
            about=tuple(items[name].item_id for name in names),
            count=len(names),
            items=len(items),
            percent=f"{share:.0%}",
            names=_list(names),
        )
        for code, share, found in (("files_enlarged", ENLARGED - 1, enlarged), ("files_cropped", CROPPED, cropped))
        if (names := list(dict.fromkeys(found)))
    ]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:100] for name in names[:_MOST_NAMES]) + more
