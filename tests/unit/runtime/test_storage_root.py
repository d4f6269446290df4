from pathlib import Path

from api.runtime.storage_root import name_machine


def test_a_start_removes_what_a_killed_restore_left(tmp_path: Path):
    (tmp_path / ".restore-x").mkdir()
    (tmp_path / ".restore-x" / "database").write_bytes(b"a copy")
    name_machine(tmp_path, "gpu1", None)
    assert not (tmp_path / ".restore-x").exists()
