import pytest

from api.db.database import Database
from api.gpus.health.xid_store import GPUXidStore
from api.gpus.health.xids import FatalXid

KEY = ("gpu2", "GPU-1", 79)
ERROR = FatalXid(1, 5.0, "b1", energy_joules=7.5)


@pytest.fixture
def store(database: Database) -> GPUXidStore:
    return GPUXidStore(database)


def test_errors_are_stored_changed_and_deleted(store: GPUXidStore):
    store.save({KEY: ("t1", ERROR)})
    changed = FatalXid(2, 6.0, "b1", was_action_asked=True)
    store.save({KEY: ("t1", changed)})
    assert store.list() == {KEY: ("t1", changed)}
    store.delete({KEY: "t0"})
    assert KEY in store.list()
    store.delete({KEY: "t1"})
    assert store.list() == {}
