"""A database, a clock and a head."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database
from api.nodes.store import Node, NodeStore
from api.util.clock import FakeClock
from tests.api.quick_worlds import provide_database
from tests.unit.nodes.heads import FleetHead


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    provide_database(tmp_path)
    made = Database(f"sqlite+pysqlite:///{tmp_path}/database.sqlite", tmp_path)
    made.migrate()
    NodeStore(made).register(Node("head", "m0", is_settled=True), tmp_path)
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def head(sqlite: Database, clock: FakeClock) -> Iterator[FleetHead]:
    made = FleetHead(sqlite, clock)
    yield made
    made.gpus.stop_monitoring()
