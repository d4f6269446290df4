"""The directory of work of a task."""

import json
from pathlib import Path

import pytest

from api.errors import BlobMissing
from api.services.datasets.work_files import lay_out_work, link_stored, sources_of
from api.storage.task_files import TaskFiles
from tests.unit.services.datasets.conftest import Shelf


def test_sources_are_links_that_anybody_may_read_and_nobody_write(shelf: Shelf, tmp_path: Path):
    one = shelf.item("a.png", b"one")
    files = TaskFiles(tmp_path / "task")
    lay_out_work(files, {"fps": 16}, [b"line\n"], [*sources_of([one]), one.sha256], link_stored(shelf.blobs))
    source = files.output / "sources" / one.sha256
    assert source.read_bytes() == b"one"
    assert source.stat().st_mode & 0o777 == 0o444
    assert source.stat().st_ino == shelf.blobs.path(one.sha256).stat().st_ino
    assert json.loads((files.output / "settings.json").read_bytes()) == {"fps": 16}
    assert (files.output / "items.jsonl").read_bytes() == b"line\n"


def test_a_source_that_is_gone_is_told(shelf: Shelf, tmp_path: Path):
    with pytest.raises(BlobMissing):
        lay_out_work(TaskFiles(tmp_path / "task"), {}, [], ["0" * 64], link_stored(shelf.blobs))
