"""The commands `backup` and `restore`."""

from pathlib import Path

import pytest

from api.commands.backup import run_backup_command
from api.db.database import Database, sqlite_url
from api.main import main


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    database = Database(sqlite_url(path / "database.sqlite"))
    database.migrate()
    database.close()
    return path


def test_backup_without_a_name_is_created_in_the_storage(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["backup", "--storage-root", str(root)]) == 0
    (made,) = (root / "backups").iterdir()
    assert str(made) in capsys.readouterr().out
    assert made.parent.stat().st_mode & 0o777 == 0o700
    assert run_backup_command(["restore", str(made), "--storage-root", str(root), "--force"]) == 0
    assert "The previous database is kept" in capsys.readouterr().out


def test_file_may_come_after_the_settings(root: Path, capsys: pytest.CaptureFixture[str]):
    file = root.parent / "kept.tar.gz"
    assert run_backup_command(["backup", "--storage-root", str(root), str(file)]) == 0
    assert run_backup_command(["restore", f"--storage-root={root}", "--force", str(file)]) == 0
    assert "The previous database is kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["restore"], 2, "needs the FILE"),
        (["restore", "--force"], 2, "needs the FILE"),
        (["backup", "--no-such-setting", "x"], 2, "--help"),
        (["restore", "/nonexistent/file"], 1, "No such file"),
        (["backup", "/nonexistent/file"], 1, "cannot be written"),
    ],
)
def test_failure_is_reported_with_its_reason(
    root: Path, arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
):
    assert run_backup_command([*arguments, "--storage-root", str(root)]) == code
    assert why in capsys.readouterr().err


def test_backup_of_another_kind_of_database_is_refused(root: Path, capsys: pytest.CaptureFixture[str]):
    assert run_backup_command(["backup", str(root / "kept"), "--storage-root", str(root)]) == 0
    assert (
        run_backup_command(
            ["restore", str(root / "kept"), "--storage-root", str(root), "--database-url", "postgresql:///x"]
        )
        == 1
    )
    assert "is of a sqlite database" in capsys.readouterr().err


def test_backup_of_a_newer_version_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    database = Database(sqlite_url(root / "database.sqlite"))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert run_backup_command(["backup", str(tmp_path / "kept"), "--storage-root", str(root)]) == 0
    assert run_backup_command(["restore", str(tmp_path / "kept"), "--storage-root", str(tmp_path / "new")]) == 1
    assert "newer version of this service (revision 9999)" in capsys.readouterr().err
    assert not (tmp_path / "new" / "database.sqlite").exists()


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_help_shows_the_usage(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([name, "--help"]) == 0
    assert f"{name} " in capsys.readouterr().out
