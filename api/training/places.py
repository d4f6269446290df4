"""Places of tasks without GPUs: those of downloads and pushes, which mostly wait for a hub, and those of other work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from api.domain.places import TRANSFERS, RunningTransfer, TaskPlaces
from api.domain.reason import Reason
from api.domain.training import TaskSummary
from api.domain.usage import Owner

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class PlaceRules:
    """How many tasks without GPUs run at a time: `parallel` that work, and `transfers`, to which a host that has none
    adds one. `hub` is the address of the hub.
    """

    parallel: int = 1
    transfers: int = 4
    hub: str = ""

    def host_of(self, address: str | None) -> str:
        """With which host a transfer of a file at this address speaks; without one it is the hub."""
        try:
            found = urlsplit(address or self.hub)
            port = found.port or _PORTS.get(found.scheme)
        except ValueError:  # no address of a host: its program says so
            return ""
        return f"{(found.hostname or '').rstrip('.')}:{port}"


class TaskRoom(Protocol):
    """Places of one kind during a pass."""

    by_owner: Mapping[Owner, int]

    def takes(self, task: TaskSummary) -> bool:
        """Whether such a task runs here."""

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Why the task gets no place now; None when there is one."""

    def take(self, task: TaskSummary) -> None:
        """Gives a place away."""


def open_rooms(running: TaskPlaces, addresses: Mapping[str, str | None], rules: PlaceRules) -> tuple[TaskRoom, ...]:
    """The places as they are when a pass begins. `addresses` are those of the transfers that wait, by id."""
    return (WorkRoom(running.working, rules.parallel), TransferRoom(running.transfers, addresses, rules))


class WorkRoom:
    """Places of tasks that need the machine's own cores."""

    def __init__(self, working: Mapping[Owner, int], most: int) -> None:
        self.by_owner = working
        self._running = sum(working.values())
        self._most = most

    def takes(self, task: TaskSummary) -> bool:
        """Whether it is no transfer."""
        return task.kind not in TRANSFERS

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Why the task gets no place now; None when there is one."""
        if self._running < self._most:
            return None
        return Reason.of(
            "{running} {running|task|tasks} without GPUs {running|runs|run}, and PREPROCESS_PARALLEL is {limit}",
            "preprocess_parallel",
            running=self._running,
            limit=self._most,
        )

    def take(self, task: TaskSummary) -> None:
        """Gives a place away."""
        self._running += 1


class TransferRoom:
    """Places of downloads and pushes. Where all are taken a host that has none still gets one, up to as many again:
    hosts that hang, or send a byte a minute, do not hold what comes from elsewhere.
    """

    def __init__(
        self, running: Sequence[RunningTransfer], addresses: Mapping[str, str | None], rules: PlaceRules
    ) -> None:
        """`addresses` are those of the transfers that wait, by id."""
        self.by_owner: Mapping[Owner, int] = Counter(each.owner for each in running)
        self._by_host = Counter(rules.host_of(each.address) for each in running)
        self._addresses = addresses
        self._rules = rules

    def takes(self, task: TaskSummary) -> bool:
        """Whether it is a transfer."""
        return task.kind in TRANSFERS

    def why_full(self, task: TaskSummary) -> Reason | None:
        """Why the task gets no place now; None when there is one."""
        running, most = self._by_host.total(), self._rules.transfers
        if running < most or (running < 2 * most and not self._by_host[self._host_of(task)]):
            return None
        return Reason.of(
            "{running} {running|download or push|downloads and pushes} {running|runs|run}, and TRANSFERS_PARALLEL is"
            " {limit}",
            "transfers_parallel",
            running=running,
            limit=most,
        )

    def take(self, task: TaskSummary) -> None:
        """Gives a place away."""
        self._by_host[self._host_of(task)] += 1

    def _host_of(self, task: TaskSummary) -> str:
        return self._rules.host_of(self._addresses.get(task.task_id))
