from sqlalchemy import select

from api.db.database import Database
from api.db.dataset_tables import blob_store
from api.db.insertion import insert_missing


def test_existing_rows_are_unchanged(database: Database):
    with database.write() as connection:
        insert_missing(connection, blob_store, [{"id": 1, "store": "first"}])
        insert_missing(connection, blob_store, [{"id": 1, "store": "second"}, {"id": 2, "store": "new"}])
        insert_missing(connection, blob_store, [])
    with database.read() as connection:
        assert dict(connection.execute(select(blob_store.c.id, blob_store.c.store)).tuples().all()) == {
            1: "first",
            2: "new",
        }
