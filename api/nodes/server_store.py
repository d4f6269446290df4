"""The servers that share a database. Each updates its row while it runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.rows import clean, dump_fields, read_fields, to_seconds, to_time
from api.db.tables import audit, leadership, machine_clocks, servers
from api.nodes.server_models import StoredServer
from api.util.clock import Mark, SteadyMark

_ALL = select(servers).order_by(servers.c.started_at, servers.c.server_id)
_SIGN = update(servers).where(servers.c.server_id == bindparam("own")).values(last_seen=bindparam("seconds"))
_LEADS = select(leadership.c.scope, leadership.c.holder).where(leadership.c.holder != "")
_SAVE_CLOCK = update(machine_clocks).where(machine_clocks.c.node == bindparam("own"))


class ServerStore:
    """The table of servers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[StoredServer]:
        """Return the servers that have not announced their end, oldest first."""
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(_ALL)]

    def leaders(self) -> dict[str, str]:
        """Return the current or last leader of each scope."""
        with self._database.read() as connection:
            return {row.scope: row.holder for row in connection.execute(_LEADS)}

    def sign(self, own: StoredServer, steady: SteadyMark) -> None:
        """Store a heartbeat of this server and the steady time of its machine."""
        seconds, node = to_seconds(own.last_seen), clean(own.node)
        clock = {
            "boot_id": steady.mark.boot_id,
            "boot_seconds": steady.mark.seconds,
            "steady_at": to_seconds(steady.at),
        }
        with self._database.write(is_audited=False) as connection:
            if connection.execute(_SIGN, {"own": own.server_id, "seconds": seconds}).rowcount == 0:
                connection.execute(insert(servers).values(dump_fields(own, servers, reads_gzip=1)))
            if connection.execute(_SAVE_CLOCK.values(clock), {"own": node}).rowcount == 0:
                insert_missing(connection, machine_clocks, [{"node": node, **clock}])

    def last_steady(self, node: str) -> SteadyMark | None:
        """Return the stored steady time of this machine, else the latest of any machine.

        Without any, return the latest time of a server or of the audit; None for an empty database.
        """
        newest = select(func.max(machine_clocks.c.steady_at))
        with self._database.read() as connection:
            row = connection.execute(select(machine_clocks).where(machine_clocks.c.node == clean(node))).one_or_none()
            if row is not None:
                return SteadyMark(to_time(row.steady_at), Mark(row.boot_id, row.boot_seconds))
            seconds = connection.scalar(newest)
            if seconds is None:
                found = [connection.scalar(select(func.max(column))) for column in (servers.c.last_seen, audit.c.at)]
                seconds = max((each for each in found if each is not None), default=None)
        return None if seconds is None else SteadyMark(to_time(seconds), Mark("", 0.0))

    def remove(self, server_id: str) -> None:
        """Remove a server that ends."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(servers).where(servers.c.server_id == server_id))

    def remove_silent(self, before: datetime) -> None:
        """Remove the servers without a heartbeat since then."""
        with self._database.write(is_audited=False) as connection:
            connection.execute(delete(servers).where(servers.c.last_seen < to_seconds(before)))


def _read(row: Row[Any]) -> StoredServer:
    return read_fields(StoredServer, row)
