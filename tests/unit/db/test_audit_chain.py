"""Each audit row follows from the previous one, also with concurrent writers."""

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from api.access.audit_store import AuditStore
from api.db.audit_chain import (
    GENESIS,
    MAX_BYTES,
    MAX_CHARACTERS,
    MAX_VALUES,
    append,
    hash_row,
    read_head,
    shorten,
    shorten_text,
)
from api.db.database import Database, sqlite_url
from api.db.tables import audit
from api.domain.access.audit import AuditEntry, RequestNote, note_change, noting
from tests.unit.db.builders import NOW, Stores, new_task

WRITERS, EACH = 32, 4


def entry(**more: Any) -> AuditEntry:
    return AuditEntry(**{"at": NOW, "actor": "ann", "operation": "POST /x", **more})


def note(**more: Any) -> RequestNote:
    return RequestNote(**{"at": NOW, "actor": "ann", "operation": "POST /x", "is_change": True, **more})


def rows(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(select(audit).order_by(audit.c.id)).mappings()]


def test_each_row_has_the_hash_of_itself_and_the_previous_row(database: Database):
    AuditStore(database).append([entry(after={"name": "ä", "rate": 1e-4}), entry(before=[1, None])])
    first, second = rows(database)
    assert first["hash"] == hash_row(GENESIS, {str(name): value for name, value in first.items()})
    assert second["hash"] == hash_row(first["hash"], {str(name): value for name, value in second.items()})


def test_row_without_a_kind_of_client_has_the_hash_of_earlier_versions(database: Database):
    AuditStore(database).append([entry(), entry(via="mcp")])
    old, new = rows(database)
    assert old["hash"] == hash_row(GENESIS, {str(name): value for name, value in old.items() if name != "via"})
    assert new["hash"] != hash_row(old["hash"], {**{str(name): value for name, value in new.items()}, "via": None})


def test_head_names_the_last_row(database: Database):
    AuditStore(database).append([entry(), entry()])
    with database.read() as connection:
        head = read_head(connection)
    assert head is not None
    assert (head.first_id, head.before_first) == (1, GENESIS)
    assert (head.last_id, head.last_hash) == (2, rows(database)[-1]["hash"])


def test_change_is_recorded_by_its_own_transaction(stores: Stores):
    with noting(note(object="t1")):
        stores.tasks.create(new_task("t1"), NOW, "ann")
    (row,) = rows(stores.database)
    assert (row["actor"], row["object"], row["outcome"]) == ("ann", "t1", "done")
    assert row["after"]["request"]["model_type"] == "toy"


def test_rolled_back_change_leaves_nothing(database: Database):
    def fail() -> None:
        with database.write() as connection:
            append(connection, [entry()])
            raise ZeroDivisionError

    with noting(note()) as stored, pytest.raises(ZeroDivisionError):
        fail()
    assert rows(database) == []
    assert not stored.is_kept


def test_request_is_recorded_once_however_many_transactions_it_makes(stores: Stores):
    with noting(note()):
        stores.tasks.create(new_task("t1"), NOW, "ann")
        stores.tasks.patch("t1", {"priority": 3}, NOW, "ann")
    assert len(rows(stores.database)) == 1


def test_transaction_of_the_change_stores_the_note_and_no_earlier_one(stores: Stores):
    with noting(note()) as stored:
        with stores.database.write():
            pass
        assert (rows(stores.database), stored.has_committed) == ([], True)
        stores.tasks.create(new_task("t1"), NOW, "ann")
    assert [row["object"] for row in rows(stores.database)] == ["t1"]


def test_existing_task_is_no_change(stores: Stores):
    stores.tasks.create(new_task("t1", key="k"), NOW, "ann")
    with noting(note()) as stored:
        stores.tasks.create(new_task("t2", key="k"), NOW, "ann")
    assert (rows(stores.database), stored.has_changed) == ([], False)


def test_bookkeeping_stores_no_note(database: Database):
    with noting(note()) as stored:
        note_change()
        with database.write(is_audited=False):
            pass
    assert rows(database) == []
    assert not stored.is_kept


def test_change_without_a_request_stores_no_note(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "scheduler")
    assert rows(stores.database) == []


def test_patch_records_the_previous_values(stores: Stores):
    stores.tasks.create(new_task("t1", name="old"), NOW, "ann")
    with noting(note()):
        stores.tasks.patch("t1", {"priority": 7, "name": "new"}, NOW, "ann")
    (row,) = rows(stores.database)
    assert row["before"] == {"priority": 0, "name": "old"}
    assert row["after"] == {"priority": 7, "name": "new"}


def test_value_that_databases_reject_is_stored_cleaned(database: Database):
    strange = {"text": "a\0b", 3: float("nan"), "large": ["x" * 900] * 99}
    AuditStore(database).append([entry(object="\0" * 300, after=strange)])
    assert AuditStore(database).check().is_unbroken


def test_concurrent_writers_make_one_intact_chain(database: Database):
    stores = Stores(database)

    def write(writer: int) -> None:
        for number in range(EACH):
            with noting(note(actor=f"writer-{writer}")):
                note_change(after={"number": number})
                stores.tasks.create(new_task(f"t{writer}-{number}"), NOW, "ann")

    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(write, range(WRITERS)))
    check = AuditStore(database).check()
    assert check.is_unbroken
    assert check.checked == check.last_id == WRITERS * EACH


#: A server that makes changes until it is killed, and prints each acknowledged change.
CHANGES = """
import itertools, sys
from datetime import UTC, datetime
from api.domain.access.audit import RequestNote, noting
from api.db.database import Database
from api.training.records.task_store import TaskStore
from tests.unit.db.builders import new_task
tasks = TaskStore(Database(sys.argv[1]))
now = datetime.now(UTC)
for number in itertools.count():
    with noting(RequestNote(now, "ann", "POST /x", True)):
        tasks.create(new_task(f"k{number}"), now, "ann")
    print(number, flush=True)
"""


def test_killed_server_leaves_an_intact_chain_with_all_acknowledged_changes(backend: str, url: str):
    database = Database(url)
    database.migrate()
    acknowledged = 0
    for _ in range(2):
        code = CHANGES.replace('f"k{number}"', f'f"k{acknowledged}-{{number}}"')
        with subprocess.Popen(
            [sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}
        ) as server:
            assert server.stdout is not None
            for _ in range(12):
                assert server.stdout.readline()
                acknowledged += 1
            server.send_signal(signal.SIGKILL)
    check = AuditStore(database).check()
    database.close()
    assert check.is_unbroken
    assert check.checked >= acknowledged


def test_deleted_head_is_not_recreated_silently(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "d.sqlite"))
    database.migrate()
    store = AuditStore(database)
    store.append([entry(), entry()])
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM audit_chain")
    store.append([entry()])
    check = store.check()
    database.close()
    assert not check.is_unbroken


def test_small_safe_value_stays_as_it_is():
    value = {"name": "cats", "rate": 1e-4, "list": [1, None, True], "at": "2026-01-01T00:00:00Z"}
    assert shorten(value) == value
    assert shorten(None) is None


def test_value_becomes_plain_json():
    assert shorten({"at": datetime(2026, 1, 1, tzinfo=UTC), 3: (1, 2)}) == {"at": "2026-01-01T00:00:00Z", "3": [1, 2]}


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": "s3cret"},
        {"env": {"WANDB_API_KEY": "s3cret"}},
        "config_toml # wandb_api_key = 's3cret'",
        ["https://u:s3cret@host/x"],
        "dp_abcdefghijkl_s3cretABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijk",
        {"token=s3cret": 1},
    ],
)
def test_secrets_are_masked(value: object):
    assert b"s3cret" not in orjson.dumps(shorten(value))


def test_long_texts_and_lists_are_cut():
    assert shorten_text("a" * 9999, MAX_CHARACTERS) == "a" * (MAX_CHARACTERS - 1) + "…"
    short = shorten([*range(99)])
    assert (len(short), short[-1]) == (MAX_VALUES + 1, f"… and {99 - MAX_VALUES} more")
    assert shorten({str(n): n for n in range(99)})["…"] == f"{99 - MAX_VALUES} more"


def test_secret_at_the_cut_is_masked_completely():
    secret = "hf_" + "s3cret" * 9
    assert "s3cret" not in shorten_text("a" * (MAX_CHARACTERS - 20) + " " + secret, MAX_CHARACTERS)


def test_value_that_is_still_too_large_is_replaced_by_size_and_hash():
    value = [["x" * 400] * 60] * 60
    whole = orjson.dumps(value)
    assert shorten(value) == {"left_out_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    assert len(whole) > MAX_BYTES


def test_depth_of_nesting_is_limited():
    value: object = 1
    for _ in range(200):
        value = [value]
    assert "…" in str(shorten(value))


def test_characters_that_no_database_accepts_are_replaced():
    assert shorten_text("a\0b\ud800", 10) == "a\N{REPLACEMENT CHARACTER}b?"
