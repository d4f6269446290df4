import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.models.dataset import DirectoryWatch, EntryFinding, EntryProblem, WatchState
from api.services.datasets.directory_files import (
    DirectoryListing,
    FileStamp,
    compare,
    first_of,
    is_still,
    list_directory,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_only_media_and_texts_are_seen(tmp_path: Path):
    for name in ("a.PNG", "a.txt", "x.pdf", ".h.png", "cache/x.png", "s/metadata.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(list_directory(str(tmp_path)).files) == ["a.PNG", "a.txt", "s/metadata.jsonl"]


def test_a_file_whose_name_no_item_can_have_is_told_apart(tmp_path: Path):
    (tmp_path / "a\nb.png").touch()
    (tmp_path / "a.png").touch()
    listing = list_directory(str(tmp_path))
    assert (list(listing.files), [each.path for each in listing.misnamed]) == (["a.png"], ["'a\\nb.png'"])


def test_a_link_in_the_path_is_not_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="a link in its path"):
        list_directory(str(tmp_path / "link"))


def test_what_was_found_while_reading_still_holds_at_the_next_look():
    seen = FileStamp(1, 2, 3)
    unread = EntryFinding("b.png", EntryProblem.UNREADABLE, "it cannot be read")
    gone = EntryFinding("c\n.png", EntryProblem.NAME, "renamed since")
    before = DirectoryWatch(WatchState.SAME, NOW, misnamed=1, unread=1, findings=(gone, unread))
    found = compare(DirectoryListing({"a.png": seen}), {"a.png": seen.hashed("a.png", "0" * 64)}, before, NOW)
    assert (found.state, found.misnamed, found.unread, found.findings) == (WatchState.SAME, 0, 1, (unread,))


def test_of_each_kind_of_finding_some_are_shown():
    named = [EntryFinding(f"{number}", EntryProblem.NAME, "") for number in range(20)]
    unread = [EntryFinding(f"u{number}", EntryProblem.UNREADABLE, "") for number in range(20)]
    assert [each.path for each in first_of(named, unread)] == [*"01234", *(f"u{number}" for number in range(5))]
    assert len(first_of(named, unread[:1])) == 10


def test_a_file_that_was_written_to_is_not_still_the_same(tmp_path: Path):
    file = tmp_path / "a.png"
    file.write_text("a")
    known = FileStamp.of(os.stat(file)).hashed("a.png", "0" * 64)
    assert is_still(tmp_path, known)
    file.write_text("other")
    assert not is_still(tmp_path, known)
