import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from api.files.archives.expansion import INDEX, Expansion, ExpansionProgress
from api.files.archives.limits import ArchiveLimits, BadArchive, DiskFull
from api.files.archives.names import check_name
from tests.unit.files.archives.hostile import Piece, archives, make_tar, make_zip

#: Number of hostile archives; `HOSTILE_ARCHIVES=10000` tries ten thousand.
EXAMPLES = int(os.environ.get("HOSTILE_ARCHIVES", "100"))

SMALL = ArchiveLimits(entries=5, total=400_000, ratio=20, small=10_000, depth=3, min_free=0)


def file(name: str, content: bytes = b"x") -> Piece:
    return Piece(name, "file", content, "")


def expand(folder: Path, data: bytes, limits: ArchiveLimits = SMALL) -> list[dict[str, object]]:
    (folder / "archive").write_bytes(data)
    (folder / "target").mkdir()
    Expansion(folder / "archive", folder / "target", limits, lambda progress: None).run()
    return [orjson.loads(line) for line in (folder / "target" / INDEX).read_bytes().splitlines()]


def rejection(folder: Path, data: bytes, limits: ArchiveLimits = SMALL) -> BadArchive:
    with pytest.raises(BadArchive) as rejected:
        expand(folder, data, limits)
    return rejected.value


def test_files_are_written_under_numbers_and_listed_by_name(tmp_path: Path):
    listed = expand(tmp_path, make_zip([file("a/b.png", b"pixels"), file("c.txt", b"words")], zipfile.ZIP_DEFLATED))
    assert [(each["name"], each["size_bytes"]) for each in listed] == [("a/b.png", 6), ("c.txt", 5)]
    assert [(tmp_path / "target" / str(each["file"])).read_bytes() for each in listed] == [b"pixels", b"words"]


def test_system_files_are_left_out(tmp_path: Path):
    listed = expand(tmp_path, make_tar([file("a.png"), file("__MACOSX/._a.png"), file(".DS_Store")], "tar"))
    assert [each["name"] for each in listed] == ["a.png"]


def test_too_many_entries_are_rejected(tmp_path: Path):
    assert "limit of 5 entries" in rejection(tmp_path, make_zip([file(f"{n}.txt") for n in range(6)], 0)).reason


def test_too_many_bytes_are_not_written(tmp_path: Path):
    rejected = rejection(tmp_path, make_zip([file("a"), file("b", os.urandom(500_000))], 0))
    assert (rejected.entry, "400,000 bytes" in rejected.reason) == ("b", True)
    assert sum(each.stat().st_size for each in (tmp_path / "target").iterdir()) < 400_000


@pytest.mark.parametrize(
    "data", [make_zip([file("a", bytes(300_000))], 8), make_tar([file("a", bytes(300_000))], "gz")]
)
def test_bomb_is_stopped_by_its_real_size(tmp_path: Path, data: bytes):
    assert "20 times larger" in rejection(tmp_path, data).reason


def test_bomb_beside_other_files_is_found_by_its_own_size(tmp_path: Path):
    honest, bomb = file("a", os.urandom(90_000)), file("b", bytes(200_000))
    rejected = rejection(tmp_path, make_zip([honest, bomb], zipfile.ZIP_DEFLATED))
    assert (rejected.entry, "than its compressed size" in rejected.reason) == ("b", True)


def test_nested_archive_is_rejected_by_content(tmp_path: Path):
    rejected = rejection(tmp_path, make_zip([file("a.png", make_zip([file("b")], 0))], 0))
    assert (rejected.entry, "archive itself" in rejected.reason) == ("a.png", True)


def test_cached_latents_are_written_unchanged(tmp_path: Path):
    latents = make_zip([file("latents.npy", b"numbers")], 0)
    listed = expand(tmp_path, make_zip([file("a.png", b"PNG"), file("a_0512x0512_sdxl.npz", latents)], 0))
    assert [each["name"] for each in listed] == ["a.png", "a_0512x0512_sdxl.npz"]


def test_empty_archive_is_rejected(tmp_path: Path):
    assert "empty" in rejection(tmp_path, make_zip([], 0)).reason


def test_full_disk_is_not_a_bad_archive(tmp_path: Path):
    with pytest.raises(DiskFull):
        expand(tmp_path, make_zip([file("a")], 0), ArchiveLimits(min_free=2**60))


def test_progress_is_reported_for_each_entry(tmp_path: Path):
    (tmp_path / "archive").write_bytes(make_zip([file("a", b"123"), file("b", b"45")], 0))
    (tmp_path / "target").mkdir()
    reported: list[tuple[int, int]] = []

    def report(progress: ExpansionProgress) -> None:
        reported.append((progress.entries, progress.written))

    Expansion(tmp_path / "archive", tmp_path / "target", SMALL, report).run()
    assert reported == [(1, 3), (2, 5)]


def below(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*"))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(archives())
def test_no_archive_writes_outside_or_beyond_its_limits(data: bytes):
    with TemporaryDirectory() as directory:
        folder = Path(directory)
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
