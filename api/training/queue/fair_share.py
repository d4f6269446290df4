"""The order of tasks with equal class and priority: owners who used fewer GPUs in the last day come first.

`quotas.py` adds up what each has used.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from api.domain.tasks.training import TaskSummary
from api.domain.tasks.usage import Account, Owner

#: Assumed use of a newly assigned GPU in seconds, because the real one is unknown.
ASSUMED_SECONDS = 3600.0

#: Accounts of a service without keys. Tasks have no owners; only priority and age count.
NOT_SHARED: Mapping[Owner, Account] = {}


class FairQueue:
    """A queue in the order of service. Each owner has a line ordered by age, and the lines take turns."""

    def __init__(self, queue: Sequence[TaskSummary], accounts: Mapping[Owner, Account]) -> None:
        """Create the line. `queue` is sorted by level, then age, and stays so if there is only one owner."""
        self._queue = queue
        self._used = {owner: account.gpu_seconds for owner, account in accounts.items()}
        self._is_shared = bool(accounts)

    def __iter__(self) -> Iterator[TaskSummary]:
        """Yield the next task, considering what has been charged in the meantime."""
        if not self._is_shared:
            yield from self._queue
            return
        for _, level in groupby(enumerate(self._queue), key=lambda indexed: indexed[1].level):
            yield from self._take_turns(level)

    def _take_turns(self, level: Iterator[tuple[int, TaskSummary]]) -> Iterator[TaskSummary]:
        lines: dict[Owner, deque[tuple[int, TaskSummary]]] = {}
        for position, task in level:
            lines.setdefault(task.owner, deque()).append((position, task))
        heads = [(self._used.get(owner, 0.0), line[0][0], line) for owner, line in lines.items()]
        # Positions are unique, so the deques are never compared.
        heapq.heapify(heads)
        while heads:
            _, _, line = heapq.heappop(heads)
            _, task = line.popleft()
            yield task
            if line:
                heapq.heappush(heads, (self._used.get(task.owner, 0.0), line[0][0], line))

    def charge(self, task: TaskSummary) -> None:
        """Charge a task's GPUs, assigned or reserved, to its owner. A task without GPUs counts as one GPU."""
        self._used[task.owner] = self._used.get(task.owner, 0.0) + max(1, task.gpu_count) * ASSUMED_SECONDS


def by_running_tasks(accounts: Mapping[Owner, Account], running: Mapping[Owner, int]) -> Mapping[Owner, Account]:
    """Return accounts for the order of tasks without GPUs: owners with fewer running tasks come first."""
    return {
        owner: replace(account, gpu_seconds=running.get(owner, 0) * ASSUMED_SECONDS)
        for owner, account in accounts.items()
    }


def in_fair_order(queue: Sequence[TaskSummary], accounts: Mapping[Owner, Account]) -> list[TaskSummary]:
    """Return the queue in the order in which its tasks start as GPUs become free."""
    line, served = FairQueue(queue, accounts), []
    for task in line:
        line.charge(task)
        served.append(task)
    return served
