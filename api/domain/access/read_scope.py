"""What a reader may see of other users' resources. No I/O."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: Text in place of the name of a task that the reader may not see.
OTHER_USERS_TASK = "another user's task"

#: Reasons in `unavailable` for existing values that are hidden from the reader.
OF_ANOTHER_USER = "of_another_user"
NEEDS_PROCESSES_READ = "needs_processes_read"


@dataclass(frozen=True, slots=True)
class ReadScope:
    """How much a reader may see. Readers with equal scopes get identical, cached answers."""

    owner: str | None = None  #: the only user whose tasks are visible; None if all are visible, or none
    sees_all: bool = True  #: tasks of all users are visible
    sees_commands: bool = True  #: command lines of processes are visible

    @property
    def is_whole(self) -> bool:
        """Whether nothing is hidden."""
        return self.sees_all and self.sees_commands

    def sees(self, owner: str | None) -> bool:
        """Return whether the reader may see resources of this owner.

        Only readers who see all see those without an owner.
        """
        return self.sees_all or (owner is not None and owner == self.owner)

    @property
    def only_of(self) -> str | None:
        """The user to whose tasks a query is restricted, or None for all users."""
        # No user has an empty name, so this matches nothing.
        return None if self.sees_all else self.owner or ""

    def sees_command(self, owner: str | None) -> bool:
        """Return whether the reader may see the command line of a process. `owner` is the owner of its task."""
        return self.sees_commands and self.sees(owner)

    def why_no_command(self) -> str:
        """Return the reason in `unavailable` for a hidden command line."""
        return OF_ANOTHER_USER if self.sees_commands else NEEDS_PROCESSES_READ


#: Nothing is hidden: used without keys, for administrators and for the service itself.
WHOLE = ReadScope()

#: The scope of the current request's principal. Outside of a request it is the service's own.
current_scope: ContextVar[ReadScope] = ContextVar("current_scope", default=WHOLE)


@contextmanager
def seeing(scope: ReadScope) -> Iterator[None]:
    """Set `current_scope` within the `with` block."""
    before = current_scope.set(scope)
    try:
        yield
    finally:
        current_scope.reset(before)
