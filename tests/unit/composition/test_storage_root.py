from pathlib import Path

import pytest

from api.composition.storage_root import name_machine, require_database
from api.db.database_url import DatabaseError


def test_start_removes_leftovers_of_a_killed_restore(tmp_path: Path):
    (tmp_path / ".restore-x").mkdir()
    (tmp_path / ".restore-x" / "database").write_bytes(b"a copy")
    name_machine(tmp_path, "gpu1", None)
    assert not (tmp_path / ".restore-x").exists()


def test_emptied_database_is_refused_and_a_missing_one_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = tmp_path / "database.sqlite"
    require_database(tmp_path, file)
    file.touch(0o600)
    require_database(tmp_path, file)
    assert caplog.messages == []
    (tmp_path / "node").write_text("gpu1")
    with pytest.raises(DatabaseError, match=r"is empty: restore .*remove it to start with a new one"):
        require_database(tmp_path, file)
    file.unlink()
    require_database(tmp_path, file)
    assert "creating an empty one" in caplog.messages[0]
