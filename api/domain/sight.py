"""What of other people's things a reader may see. Whoever answers asks the sight of the request; no I/O."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

#: Stands in sentences for a task whose name its reader may not know.
ANOTHERS_TASK = "another user's task"

#: Why a value is null that exists: in `unavailable`, beside the reasons that drivers have.
OF_ANOTHER_USER = "of_another_user"
NEEDS_PROCESSES_READ = "needs_processes_read"


@dataclass(frozen=True, slots=True)
class Sight:
    """How far a reader sees. Equal ones see the same bytes, so that these are made once for all who have it."""

    owner: str | None = None  #: the user whose tasks alone are seen; None where all are seen, or none
    sees_all: bool = True  #: everybody's tasks
    sees_commands: bool = True  #: the command lines of processes

    @property
    def is_whole(self) -> bool:
        """Whether nothing is hidden."""
        return self.sees_all and self.sees_commands

    def sees(self, owner: str | None) -> bool:
        """Whether what belongs to this user is seen; what belongs to nobody only who sees all."""
        return self.sees_all or (owner is not None and owner == self.owner)

    @property
    def only_of(self) -> str | None:
        """The user whose tasks alone are looked for; None for everybody's."""
        # No user has the empty name: who is nobody has no tasks.
        return None if self.sees_all else self.owner or ""

    def sees_command(self, owner: str | None) -> bool:
        """Whether the command line of a process is seen; `owner`: of the task that it belongs to."""
        return self.sees_commands and self.sees(owner)

    def why_no_command(self) -> str:
        """The reason, in `unavailable`, that a command line is hidden from this reader."""
        return OF_ANOTHER_USER if self.sees_commands else NEEDS_PROCESSES_READ


#: Nothing is hidden: a service without keys, administrators, and the service itself.
WHOLE = Sight()

#: The sight of whom the present request comes from. The shell sets it; outside of a request it is the service.
current_sight: ContextVar[Sight] = ContextVar("current_sight", default=WHOLE)


@contextmanager
def seeing(sight: Sight) -> Iterator[None]:
    """Makes this the `current_sight` within the `with` block."""
    before = current_sight.set(sight)
    try:
        yield
    finally:
        current_sight.reset(before)
