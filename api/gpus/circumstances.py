"""What bears on a GPU besides its reading: who holds it, its Xid errors, what an engine and its node say of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.domain.gpu import GPUStatus
from api.domain.reason import Reason, Words
from api.domain.task import RegisteredTask


@dataclass(frozen=True, slots=True)
class EngineWord:
    """What the engine of a cluster says of a GPU: that a job has it, or that its machine takes none."""

    status: GPUStatus
    words: Reason


#: What an engine says of a GPU, by its machine and index; None where it has nothing against it.
AskEngine = Callable[[str, int], EngineWord | None]


@dataclass(frozen=True, slots=True)
class GPUCircumstances:
    """What bears on a GPU besides its reading. `draining_for`: seconds since its task ended, None when none did.

    `xids`: a code as often as it was seen within a day; `last_xid_at`: the monotonic time of the last one.
    """

    now: float
    max_age: float
    problem: Words | None = None
    task: RegisteredTask | None = None
    holders_known: bool = True
    draining_for: float | None = None
    xids: Sequence[int] = ()
    last_xid_at: float = float("-inf")
    engine: EngineWord | None = None
    drain: Reason | None = None  #: why its node starts nothing new
    twin: str | None = None  #: the node on which another GPU says to be this one
