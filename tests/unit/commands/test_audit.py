"""The command `audit-verify`."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from api.access.audit_store import AuditStore
from api.db.database import Database, sqlite_url
from api.db.tables import audit
from api.domain.access.audit import AuditEntry
from api.main import main


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    return database


def verify(tmp_path: Path, *arguments: str) -> int:
    return main(["audit-verify", "--storage-root", str(tmp_path), *arguments])


def entry() -> AuditEntry:
    return AuditEntry(datetime(2026, 1, 1, tzinfo=UTC), "ann", "POST /x")


def test_intact_audit_is_reported_with_its_last_row(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    last = AuditStore(database).append([entry(), entry()])[-1]
    assert verify(tmp_path) == 0
    output = f"The audit is intact: 2 rows since 2026-01-01 00:00:00 UTC. It ends with 2:{last.hash}"
    assert capsys.readouterr().out.strip() == output


def test_broken_audit_fails(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    AuditStore(database).append([entry(), entry()])
    with database.write() as connection:
        connection.execute(update(audit).where(audit.c.id == 2).values(actor="bob"))
    assert verify(tmp_path) == 1
    assert "row 2 does not match" in capsys.readouterr().err


def test_anchor_reveals_a_replaced_chain(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (stored,) = AuditStore(database).append([entry()])
    assert verify(tmp_path, "--anchor", f"1:{stored.hash}") == 0
    assert verify(tmp_path, "--anchor", f"1:{'0' * 64}") == 1
    assert "was replaced" in capsys.readouterr().err


def test_empty_audit_is_intact(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert verify(tmp_path) == 0
    assert capsys.readouterr().out.strip() == "The audit is empty."


@pytest.mark.parametrize(
    "argument", ["--storage-root=/nowhere", "--log-level=LOUD", "--unknown", "--anchor=1:2", "--anchor"]
)
def test_unreadable_audit_is_reported(tmp_path: Path, argument: str, capsys: pytest.CaptureFixture[str]):
    assert verify(tmp_path, argument) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_shows_the_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert verify(tmp_path, "--help") == 0
    assert "audit-verify [--anchor ID:HASH]" in capsys.readouterr().out
