from typing import Any

import pytest

from api.datasets.checks.findings import find_in_buckets, find_in_files
from api.datasets.checks.views import DuplicatesView
from api.domain.datasets.dataset import ManifestItem, MediaFacts, MediaKind
from api.domain.datasets.media import MediaProbe
from api.trainers.trainer import SizeBucket

NONE = DuplicatesView()


def item(path: str, caption: str | None = "x") -> ManifestItem:
    return ManifestItem(path, path[0] * 64, 1, caption)


def probe(width: int = 512, height: int = 512, **facts: Any) -> MediaProbe:
    return MediaProbe(MediaFacts(**{"kind": MediaKind.IMAGE, "width": width, "height": height, **facts}))


@pytest.mark.parametrize(
    ("found", "words", "is_error"),
    [
        (probe(problem="unreadable"), "whose data is damaged", True),
        (MediaProbe(MediaFacts(MediaKind.IMAGE, problem="unreadable")), "cannot be read", False),
        (probe(problem="media_bomb"), "cannot be read", False),
        (probe(kind=MediaKind.OTHER), "cannot be read", False),
        (probe(problem="truncated"), "or incomplete", True),
        (probe(kind=MediaKind.VIDEO, problem="truncated"), "are incomplete", True),
        (probe(problem="turned"), "are rotated by metadata", False),
        (probe(kind=MediaKind.VIDEO, is_variable_rate=True), "variable frame rate", False),
    ],
)
def test_each_problem_of_a_file_is_one_finding_with_its_name(found: MediaProbe, words: str, is_error: bool):
    findings = find_in_files([item("a.png"), item("b.png")], {"a" * 64: found, "b" * 64: probe()}, NONE, by_itself=True)
    [mistake] = findings.errors if is_error else findings.warnings
    assert mistake.message.startswith("1 of 2 files ")
    assert words in mistake.message
    assert "a.png" in mistake.message
    assert (findings.warnings if is_error else findings.errors) == []


def test_missing_captions_are_reported():
    items = [item("a.png", None), item("b.png", " ")]
    findings = find_in_files(items, {sha * 64: probe() for sha in "ab"}, NONE, by_itself=True)
    assert ["no caption" in findings.warnings[0].message, "empty caption" in findings.warnings[1].message] == [
        True,
        True,
    ]


def test_findings_of_trainer_rules_are_not_repeated():
    items = [item("a.png", None)]
    assert find_in_files(items, {"a" * 64: probe(problem="truncated")}, NONE, by_itself=False).errors == []


def test_valid_file_has_no_finding():
    findings = find_in_files([item("a.png")], {"a" * 64: probe()}, NONE, by_itself=True)
    assert (findings.errors, findings.warnings) == ([], [])


def test_duplicates_are_counted():
    findings = find_in_files([], {}, DuplicatesView(exact_groups=2, near_groups=1), by_itself=True)
    assert ["files: 2." in findings.warnings[0].message, "frames): 1." in findings.warnings[1].message] == [True, True]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((512, 512), []),
        ((420, 420), []),
        ((300, 300), ["enlarged"]),
        ((1024, 512), ["of their area"]),
        ((700, 512), []),
    ],
)
def test_sizes_that_do_not_fit_their_bucket_are_reported(size: tuple[int, int], words: list[str]):
    bucket = SizeBucket(512, 512, 1, ("a.png",), 1, 1, 1, 0)
    findings = find_in_buckets({"a.png": item("a.png")}, {"a" * 64: probe(*size)}, [bucket])
    assert [word in mistake.message for word, mistake in zip(words, findings, strict=True)] == [True] * len(words)
