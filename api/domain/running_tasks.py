"""Running tasks, counted for the limits on tasks with and without GPUs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.domain.task import TaskType
from api.domain.usage import Owner

#: Task types that mostly wait for a hub and therefore have their own limit.
TRANSFERS = frozenset({TaskType.DOWNLOAD, TaskType.PUSH})


@dataclass(frozen=True, slots=True)
class RunningTransfer:
    """A running download or push.

    `address` is the URL of a single file; None means the model hub.
    """

    owner: Owner
    address: str | None = None


@dataclass(frozen=True, slots=True)
class RunningTasks:
    """The tasks that run now."""

    on_gpus: int = 0
    working: Mapping[Owner, int] = field(default_factory=dict)  #: other tasks without GPUs by owner
    transfers: tuple[RunningTransfer, ...] = ()
    sampling: Mapping[Owner, int] = field(default_factory=dict)  #: tasks that render samples by owner
