"""Migrations from an empty database to this version."""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from api.alerts.records.rule_store import RuleStore
from api.alerts.rules.builtin import BUILTIN_RULES
from api.db import database as database_module
from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.db.migrations.upgrading import upgrade
from api.db.saved_tables import sample_sets
from api.db.tables import REVISION, metadata
from api.domain.alerts.alert_action import ActionKind
from tests.unit.db.builders import Stores


@pytest.fixture
def fresh(url: str) -> Iterator[Database]:
    """A database without tables."""
    database = Database(url)
    yield database
    database.close()


def revision(database: Database) -> str | None:
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


#: A server that starts: it prints when it is ready, and continues when told to.
START = """
import sys
from api.db.database import Database
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
database.migrate()
print("migrated", flush=True)
"""


def migrate(url: str) -> str | None:
    """Migrate, and return the resulting revision."""
    database = Database(url)
    database.migrate()
    try:
        return revision(database)
    finally:
        database.close()


def test_tables_are_created_in_an_empty_database(fresh: Database):
    fresh.migrate()
    with fresh.read() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
    Stores(fresh).claimed()


def test_second_migration_changes_nothing(fresh: Database):
    fresh.migrate()
    stores, before = Stores(fresh), revision(fresh)
    stores.claimed()
    fresh.migrate()
    Database(fresh.url.render_as_string(hide_password=False)).migrate()
    assert revision(fresh) == before
    assert set(stores.held()) >= {"GPU-0"}


@pytest.mark.parametrize("is_step_by_step", [False, True], ids=["at once", "step by step"])
def test_migrated_tables_are_those_of_the_code(fresh: Database, is_step_by_step: bool):
    if is_step_by_step:
        with fresh.write() as connection:
            upgrade(connection)
    fresh.migrate()
    assert revision(fresh) == REVISION
    with fresh.read() as connection:
        # SQLite does not enforce lengths but reports them, so they are compared as well.
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_index_of_open_attempts_excludes_ended_ones(backend: str, fresh: Database):
    where = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = 'ix_attempts_open'",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_attempts_open'",
    }
    fresh.migrate()
    with fresh.read() as connection:
        made = connection.scalar(text(where[backend]))
    assert re.search(r"WHERE .*status.* <> 'ended'", made)


def test_created_and_migrated_tables_are_equal(backend: str, fresh: Database, tmp_path: Path):
    if backend != "sqlite":
        pytest.skip("SQLite keeps the statements that made its tables")
    fresh.migrate()
    stepped = Database(sqlite_url(tmp_path / "stepped.sqlite"))
    with stepped.write() as connection:
        upgrade(connection)
    # Alembic compares neither the conditions of indices nor whether numbers are reused.
    assert statements(fresh) == statements(stepped)
    stepped.close()


def statements(database: Database) -> dict[str, list[str]]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        # Unordered: the order of keys and columns differs between code and migrations.
        return {row.name: sorted(re.split(r"[\s,)]+", row.sql)) for row in rows if row.name != "alembic_version"}


def test_two_concurrent_starts_migrate_once(url: str, fresh: Database):
    arguments, pipe = [sys.executable, "-c", START, url], subprocess.PIPE
    servers = [subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    try:
        assert [server.stdout.readline() for server in servers if server.stdout] == ["ready\n"] * 2
        for server in servers:
            assert server.stdin is not None
            server.stdin.close()
        for server in servers:
            server.stdin = None
            assert server.communicate() == ("migrated\n", "")
    finally:
        for server in servers:
            server.kill()
            server.wait()
    assert revision(fresh) is not None
    Stores(fresh).claimed()


def test_many_threads_migrate_once(url: str):
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(migrate, [url] * 4))) == 1


def test_start_waits_for_the_migration_of_another_server(
    url: str, backend: str, fresh: Database, monkeypatch: pytest.MonkeyPatch
):
    # A migration may take longer than a statement; the wait for it must not be cut short.
    monkeypatch.setattr(database_module, "LOCK_MS", 200)
    other = Database(url)
    fresh.migrate()
    with ThreadPoolExecutor(1) as pool:
        with fresh.write() as connection:
            if backend == "postgresql":
                key = {"key": database_module.MIGRATION_LOCK}
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), key)
            waiting = pool.submit(other.migrate)
            time.sleep(0.5)
            assert not waiting.done()
        waiting.result()
    other.close()


def test_tables_of_a_newer_version_are_refused(fresh: Database):
    fresh.migrate()
    with fresh.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"by a newer version .*\(revision 9999; this one supports \d+\): start"):
        fresh.migrate()
    assert revision(fresh) == "9999"


def test_file_that_is_not_a_database_is_refused(tmp_path: Path):
    path = tmp_path / "database.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseError, match=r"damaged \(file is not a database\): .* a backup .*sqlite3 .* \.recover"):
        Database(sqlite_url(path)).migrate()
    assert path.read_bytes().startswith(b"this is no database")


def test_tables_of_another_program_are_not_touched(fresh: Database):
    with fresh.write() as connection:
        connection.execute(text("CREATE TABLE tasks (a INTEGER)"))
    with pytest.raises(DatabaseError, match=r"cannot be used.*already exists"):
        fresh.migrate()
    with fresh.read() as connection:
        assert inspect(connection).get_table_names() == ["tasks"]


def test_lock_timeout_is_reset_after_a_migration(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    with database.read() as connection:
        assert connection.scalar(text("PRAGMA busy_timeout")) == database_module.LOCK_MS
    database.close()


def test_retries_find_their_response_after_the_keys_became_hashes(fresh: Database):
    with fresh.write() as connection:
        upgrade(connection, "0003")
        stored = "INSERT INTO kept_answers (scope, fingerprint, owner, began_at) VALUES ('train.go k 1', '', 'x', 0)"
        connection.execute(text(stored))
    fresh.migrate()
    with fresh.read() as connection:
        scope = connection.scalar(text("SELECT scope FROM kept_answers"))
    assert scope == hashlib.sha256(b"\0train.go\0k 1").hexdigest()


def clause(metric: str, compare: str = ">", of: str | None = None) -> dict[str, Any]:
    return {"metric": metric, "compare": compare, "value": 1.0, "of": of}


HOT = clause("temperature_gpu")
OWN_RULES: dict[str, tuple[dict[str, Any], bool]] = {
    "simple": ({"when": [HOT], "clear": [clause("temperature_gpu", "<")]}, True),
    "several": ({"when": [HOT, HOT]}, False),
    "relative": ({"when": [clause("temperature_gpu", of="temperature_slowdown")]}, False),
    "equal": ({"when": [clause("lost", "==")]}, False),
    "graver": ({"when": [HOT], "critical_when": [HOT]}, False),
    "no_metric": ({"when": [clause("log_growth")]}, False),
    "holds": ({"when": [HOT], "actions": ["hold_queue", "hold_gpu"]}, False),
}


def test_sample_sets_stay_when_their_names_become_those_of_their_owners(fresh: Database):
    with fresh.write() as connection:
        upgrade(connection, "0037")
        row = {"owner": "ann", "latest": 3, "created_at": 1.5}
        connection.execute(
            text("INSERT INTO sample_sets VALUES (:serial, :name, :owner, :shared, :latest, :created_at)"),
            [
                {**row, "serial": 4, "name": "cats", "shared": False},
                {**row, "serial": 7, "name": "dogs", "shared": True},
            ],
        )
    fresh.migrate()
    rows = [(4, "cats", "ann", False, 3, 1.5), (7, "dogs", "ann", True, 3, 1.5)]
    with fresh.read() as connection:
        assert [tuple(each) for each in connection.execute(select(sample_sets).order_by(sample_sets.c.serial))] == rows
    for name, owner, shared, is_taken in (
        ("cats", "bob", True, False),
        ("cats", "ann", False, True),
        ("dogs", "bob", False, False),
        ("dogs", "eve", True, True),
    ):
        new = {"name": name, "owner": owner, "shared": shared, "latest": 1, "created_at": 2.0}
        with pytest.raises(IntegrityError) if is_taken else nullcontext(), fresh.write() as connection:
            connection.execute(insert(sample_sets).values(new))


def test_custom_rules_that_no_longer_fit_are_disabled_and_logged(fresh: Database, caplog: pytest.LogCaptureFixture):
    with fresh.write() as connection:
        upgrade(connection, "0022")
        rows = {name: {"title": name, "scope": "gpu", "summary": "x", **rule} for name, (rule, _) in OWN_RULES.items()}
        for name, document in {**rows, "retry_storm": {"actions": ["save_checkpoint"]}}.items():
            values = {"id": name, "builtin": name == "retry_storm", "document": json.dumps(document)}
            row = "INSERT INTO alert_rules VALUES (:id, :builtin, :document, 0, 'ann')"
            connection.execute(text(row), values)
    with caplog.at_level("WARNING"):
        fresh.migrate()
    rules = RuleStore(fresh).load(BUILTIN_RULES)
    assert {name: rules[name].enabled for name in OWN_RULES} == {name: on for name, (_, on) in OWN_RULES.items()}
    assert rules["holds"].actions == (ActionKind.HOLD_GPU,)
    assert (rules["retry_storm"].enabled, rules["retry_storm"].actions) == (True, ())
    (notice,) = [record for record in caplog.records if "no longer fit" in record.message]
    named = set(notice.__dict__["switched_off"].split(", "))
    assert named == OWN_RULES.keys() - {"simple"}
    assert notice.__dict__["without_action"] == "retry_storm"
