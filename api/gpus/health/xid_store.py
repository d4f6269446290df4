"""Store the Xid errors because of which a GPU must not be offered until it is reset."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, delete, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.measurement_tables import gpu_xids
from api.db.rows import dump_fields, read_fields
from api.gpus.health.xids import FatalXid, XidKey

#: The maximum number of rows read.
MOST_ROWS = 50_000

_ALL = select(gpu_xids).order_by(gpu_xids.c.node, gpu_xids.c.uuid, gpu_xids.c.xid).limit(MOST_ROWS)


class GPUXidStore:
    """The errors as rows, each with a token that distinguishes one incident from a later one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Mapping[XidKey, tuple[str, FatalXid]]:
        """Return all errors by GPU and code, with their tokens."""
        with self._database.read() as connection:
            return {
                (row.node, row.uuid, row.xid): (
                    row.token,
                    read_fields(FatalXid, row, was_action_asked=bool(row.was_action_asked)),
                )
                for row in connection.execute(_ALL)
            }

    def save(self, errors: Mapping[XidKey, tuple[str, FatalXid]]) -> None:
        """Insert or update these errors."""
        with self._database.write(is_audited=False) as connection:
            for key, (token, known) in errors.items():
                values = dump_fields(known, gpu_xids, token=token, was_action_asked=int(known.was_action_asked))
                if connection.execute(update(gpu_xids).where(_is(key)).values(values)).rowcount == 0:
                    node, uuid, xid = key
                    insert_missing(connection, gpu_xids, [{"node": node, "uuid": uuid, "xid": xid, **values}])

    def delete(self, tokens: Mapping[XidKey, str]) -> None:
        """Delete these errors, unless another server has stored them again since."""
        with self._database.write(is_audited=False) as connection:
            for key, token in tokens.items():
                connection.execute(delete(gpu_xids).where(_is(key) & (gpu_xids.c.token == token)))


def _is(key: XidKey) -> ColumnElement[bool]:
    node, uuid, xid = key
    return (gpu_xids.c.node == node) & (gpu_xids.c.uuid == uuid) & (gpu_xids.c.xid == xid)
