"""Two PostgreSQL servers of a test with synchronous replication: the primary waits for the replica."""

from contextlib import ExitStack
from types import TracebackType

from tests.postgres_servers import OwnPostgres

#: Only for the primary: a promoted replica with this setting would wait for a replica of its own.
SYNCHRONOUS = ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")


class PostgresPair:
    """A pair made on entering and ended on leaving. `replica` follows `primary`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.primary = OwnPostgres()
        self.replica = OwnPostgres(replica_of=self.primary)
        self._both = (self.primary, self.replica)

    @property
    def url(self) -> str:
        """The URL with both addresses, which do not change after a promotion."""
        return f"postgresql://postgres@/postgres?host={','.join(server.host for server in self._both)}"

    def __enter__(self) -> "PostgresPair":
        with ExitStack() as stack:
            stack.enter_context(self.primary)
            stack.enter_context(self.replica)
            self.primary.execute(*SYNCHRONOUS)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def promote(self) -> None:
        """Promote the replica, which is then alone; the primary must have ended."""
        self.replica.promote()
        self.primary, self.replica = self.replica, self.primary

    def rejoin(self) -> None:
        """Make the former primary a replica of the promoted server."""
        self.replica.follow(self.primary)
        self.primary.execute(*SYNCHRONOUS)
