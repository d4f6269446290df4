"""A quick connection returns the same as SQLAlchemy's own, and strikes as often."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.database import sqlite_url
from api.db.tables import leadership, leases
from tests.simulation.faults import Faults, FaultyDatabase

_ADD = insert(leases)
_ALL = select(leases).order_by(leases.c.resource)
_SOME = select(leases.c.resource, leases.c.reason_code).where(leases.c.state.in_(["held", "draining"]))
_NAMED = select(leases.c.resource).where(leases.c.resource.in_(bindparam("names", expanding=True)))
_DRAIN = update(leases).where(leases.c.resource == bindparam("of_resource")).values(state="draining")


def lease(number: int, **values: Any) -> dict[str, Any]:
    made = {"resource": f"GPU-{number}", "kind": "gpu", "task_id": "t1", "token": "a", "state": "held"}
    return {**made, "claimed_at": float(number), "reason_code": {"code": "stray"}, **values}


@pytest.fixture
def database(tmp_path: Path) -> FaultyDatabase:
    made = FaultyDatabase(sqlite_url(tmp_path / "simulated.db"), tmp_path, Faults(random.Random(1)))
    made.migrate()
    return made


def work(connection: Connection) -> list[Any]:
    """Read and change rows in a transaction, each statement often enough to be cached."""
    found: list[Any] = []
    for number in range(0, 12, 4):
        connection.execute(_ADD, lease(number))
        connection.execute(_ADD, [lease(number + 1), lease(number + 2)])
        found += connection.execute(_ALL).all()
        found += [row._asdict() for row in connection.execute(_SOME)]
        for names in ([f"GPU-{number}", "other"], ["other", f"GPU-{number + 1}", f"GPU-{number}"], [], ["other"]):
            found.append(connection.execute(_NAMED, {"names": names}).all())
        found.append(connection.execute(_DRAIN, {"of_resource": f"GPU-{number}"}).rowcount)
        found.append(connection.execute(_DRAIN.where(leases.c.token == "b"), {"of_resource": "GPU-0"}).rowcount)
        found += connection.execute(_SOME).mappings().all()
    return found


def test_rows_are_those_of_sqlalchemy(database: FaultyDatabase):
    struck = list[str]()
    database._faults.strike = struck.append  # type: ignore[method-assign, assignment]
    quick = _within(database.engine.connect, work)
    times = len(struck)
    assert quick == _within(lambda: Connection(database.engine), work)
    assert len(struck) == 2 * times


def test_database_error_is_that_of_sqlalchemy(database: FaultyDatabase):
    row = {"scope": "s", "fence": 1, "holder": "h", "expires_at": 1.0}
    statement = insert(leadership)
    with database.write() as connection:
        connection.execute(statement, row)
    for _ in range(3):
        with pytest.raises(IntegrityError), database.write() as connection:
            connection.execute(statement, row)


def _within(connect: Callable[[], Connection], do: Callable[[Connection], list[Any]]) -> list[Any]:
    with connect() as connection, connection.begin() as transaction:
        found = do(connection)
        transaction.rollback()
    return found
