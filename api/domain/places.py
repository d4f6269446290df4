"""Who occupies what: tasks that run, on GPUs and without."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.domain.task import TaskType
from api.domain.usage import Owner

#: What mostly waits for a hub, and so has places of its own.
TRANSFERS = frozenset({TaskType.DOWNLOAD, TaskType.PUSH})


@dataclass(frozen=True, slots=True)
class RunningTransfer:
    """A download or push that runs. `address` is that of its one file; None: it goes to the hub."""

    owner: Owner
    address: str | None = None


@dataclass(frozen=True, slots=True)
class TaskPlaces:
    """The tasks that run now."""

    on_gpus: int = 0
    working: Mapping[Owner, int] = field(default_factory=dict)  #: without GPUs, and no transfers, by owner
    transfers: tuple[RunningTransfer, ...] = ()
