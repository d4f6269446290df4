import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.datasets.registered.listing import (
    DirectoryListing,
    FileStamp,
    compare,
    first_of,
    is_still,
    list_directory,
)
from api.domain.datasets.dataset import DirectoryWatch, EntryFinding, EntryProblem, WatchState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_only_media_and_text_files_are_listed(tmp_path: Path):
    for name in ("a.PNG", "a.txt", "x.pdf", ".h.png", "cache/x.png", "s/metadata.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_directory(str(tmp_path))
    assert (sorted(found.files), found.left_out) == (["a.PNG", "a.txt", "s/metadata.jsonl"], ["x.pdf"])


def test_files_that_trainers_cannot_open_are_left_out_with_a_reason(tmp_path: Path):
    taken = ["a.wmv", "b.ts", "c.JP2", "d.tga", "e.mpg", "f.3gp", "g.flv", "h.ppm", "i.MTS"]
    for name in (*taken, "x.heic", "x.npz", "x.zip", "noending", "x.psd"):
        (tmp_path / name).touch()
    found = list_directory(str(tmp_path))
    assert sorted(found.files) == taken
    watch = compare(found, {}, None, NOW)
    assert watch.left_out == 5
    assert [(each.path, each.problem) for each in watch.findings] == [
        (name, EntryProblem.NOT_MEDIA) for name in ("noending", "x.heic", "x.npz", "x.psd", "x.zip")
    ]
    assert [each.text.split(":")[0] for each in watch.findings] == [
        "its name has no suffix",
        "trainers cannot open .heic files",
        "trainers ignore .npz files",
        "trainers cannot open .psd files",
        "archives are not read",
    ]


def test_file_with_an_invalid_item_name_is_a_finding(tmp_path: Path):
    (tmp_path / "a\nb.png").touch()
    (tmp_path / "a.png").touch()
    listing = list_directory(str(tmp_path))
    assert (list(listing.files), [each.path for each in listing.misnamed]) == (["a.png"], ["'a\\nb.png'"])


def test_link_in_the_path_is_not_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="contains a link"):
        list_directory(str(tmp_path / "link"))


def test_findings_of_a_reading_are_kept_at_the_next_check():
    seen = FileStamp(1, 2, 3)
    unread = EntryFinding("b.png", EntryProblem.UNREADABLE, "it cannot be read")
    gone = EntryFinding("c\n.png", EntryProblem.NAME, "renamed since")
    before = DirectoryWatch(WatchState.SAME, NOW, misnamed=1, unread=1, findings=(gone, unread))
    found = compare(DirectoryListing({"a.png": seen}), {"a.png": seen.hashed("a.png", "0" * 64)}, before, NOW)
    assert (found.state, found.misnamed, found.unread, found.findings) == (WatchState.SAME, 0, 1, (unread,))


def test_some_findings_of_each_kind_are_shown():
    named = [EntryFinding(f"{number}", EntryProblem.NAME, "") for number in range(20)]
    unread = [EntryFinding(f"u{number}", EntryProblem.UNREADABLE, "") for number in range(20)]
    listing = DirectoryListing(misnamed=named)
    assert [each.path for each in first_of(listing, unread)] == [*"01234", *(f"u{number}" for number in range(5))]
    assert len(first_of(listing, unread[:1])) == 10
    listing.left_out = [f"{number}.pdf" for number in range(20)]
    kinds = [each.problem for each in first_of(listing, unread)]
    assert [kinds.count(kind) for kind in (EntryProblem.NAME, EntryProblem.UNREADABLE, EntryProblem.NOT_MEDIA)] == [
        5, 3, 2,
    ]  # fmt: skip
    assert len(first_of(DirectoryListing(left_out=listing.left_out), ())) == 10


def test_modified_file_is_detected(tmp_path: Path):
    file = tmp_path / "a.png"
    file.write_text("a")
    known = FileStamp.of(os.stat(file)).hashed("a.png", "0" * 64)
    assert is_still(tmp_path, known)
    file.write_text("other")
    assert not is_still(tmp_path, known)
