import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from api.files.archives.expansion import INDEX, Expansion, ExpansionProgress
from api.files.archives.limits import ArchiveLimits, BadArchive, NoRoom
from api.files.archives.names import check_name
from tests.unit.files.archives.hostile import Piece, archives, make_tar, make_zip

#: Examples of hostile archives: ten thousand of them are tried by `HOSTILE_ARCHIVES=10000`.
EXAMPLES = int(os.environ.get("HOSTILE_ARCHIVES", "100"))

SMALL = ArchiveLimits(entries=5, total=400_000, ratio=20, small=10_000, depth=3, min_free=0)


def file(name: str, content: bytes = b"x") -> Piece:
    return Piece(name, "file", content, "")


def expand(folder: Path, data: bytes, limits: ArchiveLimits = SMALL) -> list[dict[str, object]]:
    (folder / "archive").write_bytes(data)
    (folder / "target").mkdir()
    Expansion(folder / "archive", folder / "target", limits, lambda progress: None).run()
    return [orjson.loads(line) for line in (folder / "target" / INDEX).read_bytes().splitlines()]


def refusal(folder: Path, data: bytes, limits: ArchiveLimits = SMALL) -> BadArchive:
    with pytest.raises(BadArchive) as refused:
        expand(folder, data, limits)
    return refused.value


def test_files_are_written_under_numbers_and_listed_by_their_names(tmp_path: Path):
    listed = expand(tmp_path, make_zip([file("a/b.png", b"pixels"), file("c.txt", b"words")], zipfile.ZIP_DEFLATED))
    assert [(each["name"], each["size_bytes"]) for each in listed] == [("a/b.png", 6), ("c.txt", 5)]
    assert [(tmp_path / "target" / str(each["file"])).read_bytes() for each in listed] == [b"pixels", b"words"]


def test_what_systems_leave_behind_is_left_out(tmp_path: Path):
    listed = expand(tmp_path, make_tar([file("a.png"), file("__MACOSX/._a.png"), file(".DS_Store")], "tar"))
    assert [each["name"] for each in listed] == ["a.png"]


def test_more_entries_than_are_taken_are_refused(tmp_path: Path):
    assert "more than the 5 entries" in refusal(tmp_path, make_zip([file(f"{n}.txt") for n in range(6)], 0)).reason


def test_more_bytes_than_are_taken_are_not_written(tmp_path: Path):
    refused = refusal(tmp_path, make_zip([file("a"), file("b", os.urandom(500_000))], 0))
    assert (refused.entry, "400,000 bytes" in refused.reason) == ("b", True)
    assert sum(each.stat().st_size for each in (tmp_path / "target").iterdir()) < 400_000


@pytest.mark.parametrize(
    "data", [make_zip([file("a", bytes(300_000))], 8), make_tar([file("a", bytes(300_000))], "gz")]
)
def test_a_bomb_is_stopped_by_what_it_becomes_and_not_by_what_it_says(tmp_path: Path, data: bytes):
    assert "20 times larger" in refusal(tmp_path, data).reason


def test_a_bomb_beside_honest_files_is_found_by_its_own_size(tmp_path: Path):
    honest, bomb = file("a", os.urandom(90_000)), file("b", bytes(200_000))
    refused = refusal(tmp_path, make_zip([honest, bomb], zipfile.ZIP_DEFLATED))
    assert (refused.entry, "than it is packed" in refused.reason) == ("b", True)


def test_an_archive_in_the_archive_is_refused_by_its_content(tmp_path: Path):
    refused = refusal(tmp_path, make_zip([file("a.png", make_zip([file("b")], 0))], 0))
    assert (refused.entry, "archive itself" in refused.reason) == ("a.png", True)


def test_cached_latents_beside_media_are_written_out_as_they_are(tmp_path: Path):
    latents = make_zip([file("latents.npy", b"numbers")], 0)
    listed = expand(tmp_path, make_zip([file("a.png", b"PNG"), file("a_0512x0512_sdxl.npz", latents)], 0))
    assert [each["name"] for each in listed] == ["a.png", "a_0512x0512_sdxl.npz"]


def test_an_archive_without_anything_is_refused(tmp_path: Path):
    assert "empty" in refusal(tmp_path, make_zip([], 0)).reason


def test_a_disk_without_room_is_nothing_against_the_archive(tmp_path: Path):
    with pytest.raises(NoRoom):
        expand(tmp_path, make_zip([file("a")], 0), ArchiveLimits(min_free=2**60))


def test_each_entry_is_told(tmp_path: Path):
    (tmp_path / "archive").write_bytes(make_zip([file("a", b"123"), file("b", b"45")], 0))
    (tmp_path / "target").mkdir()
    told: list[tuple[int, int]] = []

    def tell(progress: ExpansionProgress) -> None:
        told.append((progress.entries, progress.written))

    Expansion(tmp_path / "archive", tmp_path / "target", SMALL, tell).run()
    assert told == [(1, 3), (2, 5)]


def below(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*"))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(archives())
def test_no_archive_writes_anything_outside_or_beyond_its_limits(data: bytes):
    with TemporaryDirectory() as place:
        folder = Path(place)
        try:
            listed = expand(folder, data)
        except BadArchive:
            listed = []
        target = folder / "target"
        assert {name for name in below(folder) if not name.startswith("target/")} == {"archive", "target"}
        assert all(name == INDEX or name.isdigit() for name in below(target))
        assert all(not path.is_symlink() and path.is_file() for path in target.iterdir())
        assert sum(path.stat().st_size for path in target.iterdir() if path.name != INDEX) <= SMALL.total
        assert [check_name(str(each["name"]), SMALL.depth) for each in listed] == [each["name"] for each in listed]
