"""Running tasks, and limits on those without GPUs: downloads and pushes (which wait for a hub), samples, others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import Owner

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


_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """Limits on tasks without GPUs that run at the same time.

    `parallel` limits other work, `transfers` downloads and pushes; a host without a transfer may exceed it. `hub` is
    the address of the hub. `comfyui_gpus` names the GPUs of this machine on which samples are rendered.
    """

    parallel: int = 1
    transfers: int = 4
    hub: str = ""
    comfyui_gpus: tuple[str, ...] = ()

    def host_of(self, address: str | None) -> str:
        """Return the host and port of a transfer of a file at this address. None is the hub."""
        try:
            found = urlsplit(address or self.hub)
            port = found.port or _PORTS.get(found.scheme)
        except ValueError:  # not a valid address; the task's program reports that
            return ""
        return f"{(found.hostname or '').rstrip('.')}:{port}"


class TaskSlots(Protocol):
    """Free slots of one kind during a pass."""

    by_owner: Mapping[Owner, int]

    def takes(self, task: TaskSummary) -> bool:
        """Return whether this kind of task uses these slots."""

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Return why the task gets no slot now, or None if there is one."""

    def take(self, task: TaskSummary) -> None:
        """Use one slot."""


def open_slots(
    running: RunningTasks,
    addresses: Mapping[str, str | None],
    rules: SlotLimits,
    no_sampling: Reason | None = None,
) -> tuple[TaskSlots, ...]:
    """Return the free slots at the start of a pass.

    `addresses` are those of waiting transfers, by task id. `no_sampling` is why no samples are rendered now.
    """
    return (
        WorkSlots(running.working, rules.parallel),
        TransferSlots(running.transfers, addresses, rules),
        SamplingSlots(running.sampling, no_sampling),
    )


class WorkSlots:
    """Slots for tasks that use the machine's CPU."""

    def __init__(self, working: Mapping[Owner, int], most: int) -> None:
        self.by_owner = working
        self._running = sum(working.values())
        self._most = most

    def takes(self, task: TaskSummary) -> bool:
        """Return whether it neither transfers nor samples."""
        return task.kind not in TRANSFERS and task.kind is not TaskType.SAMPLE

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Return why the task gets no slot now, or None if there is one."""
        if self._running < self._most:
            return None
        return Reason.of(
            "{running} {running|task|tasks} without GPUs {running|runs|run}, and PREPROCESS_PARALLEL is {limit}",
            "preprocess_parallel",
            running=self._running,
            limit=self._most,
        )

    def take(self, task: TaskSummary) -> None:
        """Use one slot."""
        self._running += 1


class TransferSlots:
    """Slots for downloads and pushes.

    If all are in use, a host without a transfer still gets one, up to twice the limit. So a host that hangs or is slow
    does not block transfers from others.
    """

    def __init__(
        self, running: Sequence[RunningTransfer], addresses: Mapping[str, str | None], rules: SlotLimits
    ) -> None:
        """Create the slots. `addresses` are those of waiting transfers, by task id."""
        self.by_owner: Mapping[Owner, int] = Counter(each.owner for each in running)
        self._by_host = Counter(rules.host_of(each.address) for each in running)
        self._addresses = addresses
        self._rules = rules

    def takes(self, task: TaskSummary) -> bool:
        """Return whether it is a transfer."""
        return task.kind in TRANSFERS

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Return why the task gets no slot now, or None if there is one."""
        running, limit = self._by_host.total(), self._rules.transfers
        if running < limit or (running < 2 * limit and not self._by_host[self._host_of(task)]):
            return None
        return Reason.of(
            "{running} {running|download or push|downloads and pushes} {running|runs|run}, and TRANSFERS_PARALLEL is"
            " {limit}",
            "transfers_parallel",
            running=running,
            limit=limit,
        )

    def take(self, task: TaskSummary) -> None:
        """Use one slot."""
        self._by_host[self._host_of(task)] += 1

    def _host_of(self, task: TaskSummary) -> str:
        return self._rules.host_of(self._addresses.get(task.task_id))


class SamplingSlots:
    """The slot for a task that renders samples.

    ComfyUI renders one picture at a time, and its log names the keys that were not loaded without their prompt.
    """

    def __init__(self, running: Mapping[Owner, int], closed: Reason | None) -> None:
        """Create the slot. `closed` is why it cannot be used now, even if it is free."""
        self.by_owner = running
        self._is_used = sum(running.values()) > 0
        self._closed = closed

    def takes(self, task: TaskSummary) -> bool:
        """Return whether it renders samples."""
        return task.kind is TaskType.SAMPLE

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Return why the task gets no slot now, or None if there is one."""
        if self._is_used:
            return Reason.of("ComfyUI renders the samples of another task", "comfyui_busy")
        return self._closed

    def take(self, task: TaskSummary) -> None:
        """Use the slot."""
        self._is_used = True
