"""What other programs on this machine's GPUs look like to the service: they can be asked to free their memory."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from api.domain.tasks.task import ProcessIdentity


class Activity(StrEnum):
    """What a neighbour does."""

    IDLE = "idle"
    BUSY = "busy"  #: it works for its users
    OWN = "own"  #: it renders samples for this service


@dataclass(frozen=True, slots=True)
class NeighbourState:
    """What a neighbour says about itself."""

    activity: Activity
    memory_mb: int | None  #: used memory of its GPUs; None: unknown
    boards: tuple[str, ...] = ()  #: names of its GPUs, which contain those of the driver; empty if unknown


class Neighbour(Protocol):
    """A program that shares GPUs with trainings. Each call ends in bounded time, whatever the program does."""

    name: str  #: for messages, such as `ComfyUI 127.0.0.1:8188`
    command: str  #: part of its processes' commands, for processes of other users

    def find_process(self) -> ProcessIdentity | None:
        """Return its process on this machine; None if it is not visible."""
        ...

    def state(self) -> NeighbourState | None:
        """Return its state; None if it does not answer, or not as expected."""
        ...

    def free(self) -> None:
        """Ask it to free its memory, without waiting until it is free."""
        ...


class FakeNeighbour:
    """A neighbour that a test controls."""

    def __init__(self, name: str, command: str) -> None:
        self.name = name
        self.command = command
        self.now: NeighbourState | None = NeighbourState(Activity.IDLE, None)
        self.frees = 0

    def find_process(self) -> ProcessIdentity | None:
        return None

    def state(self) -> NeighbourState | None:
        return self.now

    def free(self) -> None:
        self.frees += 1
