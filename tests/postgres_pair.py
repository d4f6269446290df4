"""Two PostgreSQL of a test's own: one takes changes, and acknowledges none before the other one has it, too."""

from contextlib import ExitStack
from types import TracebackType

from tests.postgres_servers import OwnPostgres

#: For the one that takes changes only: a replica that had it would wait, once promoted, for one of its own.
SYNCHRONOUS = ("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")


class PostgresPair:
    """Made on entering, ended on leaving. `primary` takes the changes, and `replica` follows it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.primary = OwnPostgres()
        self.replica = OwnPostgres(replica_of=self.primary)
        self._both = (self.primary, self.replica)

    @property
    def url(self) -> str:
        """With both, which stay where they are whoever of them takes the changes."""
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
        """The replica takes the changes from now on, alone; the other one must be gone."""
        self.replica.promote()
        self.primary, self.replica = self.replica, self.primary

    def rejoin(self) -> None:
        """The one that was gone follows the one that was promoted."""
        self.replica.follow(self.primary)
        self.primary.execute(*SYNCHRONOUS)
