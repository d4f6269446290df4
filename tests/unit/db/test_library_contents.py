from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.catalog.store import RegistryStore
from api.datasets.library_contents import LibraryContents
from api.datasets.upload_store import UploadStore
from api.db.database import Database
from api.domain.upload import NewUpload, UploadKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_new_database_without_files_has_nothing(database: Database, tmp_path: Path):
    assert not LibraryContents(database, [tmp_path / "nothing", tmp_path]).has_any()


def test_directories_in_which_nothing_lies_are_nothing(database: Database, tmp_path: Path):
    (tmp_path / "sha256").mkdir()
    (tmp_path / "store").write_text("the id")
    assert not LibraryContents(database, [tmp_path]).has_any()


def test_a_file_that_no_row_needs_is_something_to_be_collected(database: Database, tmp_path: Path):
    (tmp_path / "sha256").mkdir()
    (tmp_path / "sha256" / "ab").write_text("left")
    assert LibraryContents(database, [tmp_path]).has_any()


@pytest.mark.parametrize("what", ["a model", "an upload"])
def test_a_row_of_any_kind_is_something(database: Database, what: str):
    if what == "a model":
        RegistryStore(database).ensure("cats", None, NOW)
    else:
        new = NewUpload("upload_1", None, UploadKind.ITEM, "a.png", "cats", {}, 3, NOW, NOW)
        UploadStore(database, lambda: "here").add(new)
    assert LibraryContents(database, []).has_any()
