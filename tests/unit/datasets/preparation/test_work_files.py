"""The working directory of a task, and the sources of its files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from api.datasets.preparation.work_files import SourceFiles, lay_out_work
from api.domain.datasets.dataset import Dataset, ManifestItem
from api.errors import BlobMissing, DatasetChanged
from api.files.task_files import TaskFiles
from tests.unit.datasets.conftest import Shelf


def test_sources_are_read_only_links_for_everybody(shelf: Shelf, tmp_path: Path):
    one = shelf.item("a.png", b"one")
    files = TaskFiles(tmp_path / "task")
    link = SourceFiles(shelf.blobs).linker(shelf.make())
    lay_out_work(files, {"fps": 16}, [b"line\n"], [*one.blobs, one.sha256], link)
    source = files.output / "sources" / one.sha256
    assert source.read_bytes() == b"one"
    assert source.stat().st_mode & 0o777 == 0o444
    assert source.stat().st_ino == shelf.blobs.path(one.sha256).stat().st_ino
    assert json.loads((files.output / "settings.json").read_bytes()) == {"fps": 16}
    assert (files.output / "items.jsonl").read_bytes() == b"line\n"


def test_missing_source_is_reported(shelf: Shelf, tmp_path: Path):
    with pytest.raises(BlobMissing):
        lay_out_work(TaskFiles(tmp_path / "task"), {}, [], ["0" * 64], SourceFiles(shelf.blobs).linker(shelf.make()))


class Elsewhere:
    """A registered directory with one file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def finder(self, dataset: Dataset) -> Callable[[str, str], Path]:
        return lambda sha256, shown: self.file

    def path_of(self, dataset: Dataset, item: ManifestItem) -> Path:
        return self.file


def test_files_of_a_registered_directory_are_linked_and_stored_on_demand(shelf: Shelf, tmp_path: Path):
    item = shelf.item("a.png", b"one")
    shelf.blobs.path(item.sha256).unlink()
    (tmp_path / "there.png").write_bytes(b"one")
    there = shelf.make("there", directory=str(tmp_path))
    files = SourceFiles(shelf.blobs, Elsewhere(tmp_path / "there.png"))
    files.linker(there)(item.sha256, tmp_path / "link")
    assert (tmp_path / "link").read_bytes() == b"one"
    files.store(there, item)
    assert shelf.blobs.path(item.sha256).read_bytes() == b"one"


def test_changed_file_of_a_registered_directory_is_rejected(shelf: Shelf, tmp_path: Path):
    (tmp_path / "there.png").write_bytes(b"two")
    files = SourceFiles(shelf.blobs, Elsewhere(tmp_path / "there.png"))
    with pytest.raises(DatasetChanged):
        files.store(shelf.make("there", directory=str(tmp_path)), ManifestItem("a.png", "0" * 64, 3))
