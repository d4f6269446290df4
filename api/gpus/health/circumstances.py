"""The conditions of a GPU besides its reading: holder, Xid errors, and the state of its engine and node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.domain.machines.gpu import GPUStatus
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.task import RegisteredTask


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine's status of a GPU: a job has it, or its node accepts no jobs."""

    status: GPUStatus
    message: Reason


#: Returns the engine's status for a GPU by node and index; None if the engine has no objection.
EngineLookup = Callable[[str, int], EngineStatus | None]


@dataclass(frozen=True, slots=True)
class NeighbourRest:
    """What a neighbour holds after it was asked to free its memory: it counts as free."""

    name: str
    memory_mb: int | None
    pids: frozenset[int]


@dataclass(frozen=True, slots=True)
class GPUCircumstances:
    """The conditions of a GPU besides its reading.

    `draining_for`: seconds since its task ended, or None. `xids`: each code as often as it occurred within a day.
    `last_xid_at`: the monotonic time of the last one.
    """

    now: float
    max_age: float
    problem: ReasonOrText | None = None
    task: RegisteredTask | None = None
    holders_known: bool = True
    draining_for: float | None = None
    xids: Sequence[int] = ()
    last_xid_at: float = float("-inf")
    engine: EngineStatus | None = None
    drain: Reason | None = None  #: why its node starts no new tasks
    uuid_owner: str | None = None  #: the node on which another GPU reports the same UUID
    rest: NeighbourRest | None = None
