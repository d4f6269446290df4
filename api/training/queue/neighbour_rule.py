"""Share GPUs with neighbours, such as ComfyUI, by NEIGHBOUR_RULE.

A busy neighbour gets a claim on its GPU, renewed while it is busy, so that the GPU is closed until it has been idle for
NEIGHBOUR_IDLE_MINUTES. An idle one is asked to free its memory when a training waits for the GPU. What it then still
holds counts as free if it is little.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from api.domain.machines.reading import GPUProcess
from api.domain.reason import Reason
from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import TaskSummary
from api.errors import Conflict
from api.gpus.health.circumstances import NeighbourRest
from api.gpus.health.judgement import JudgedGPU
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.gpus.sharing.neighbour import Activity, Neighbour, NeighbourState
from api.gpus.sources import host
from api.training.queue.closures import Closures, NeighbourRule, neighbour_reason
from api.training.queue.scheduler import suits
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two rounds.
ROUND_SECONDS = 2.0

#: Seconds for which a neighbour that did not answer is not asked again, and between two searches for its process.
SILENT_SECONDS = 30.0

#: Seconds that a neighbour has to free its memory, and after which one that holds too much is asked again.
FREE_SECONDS, ASK_AGAIN_SECONDS = 30.0, 120.0

#: Memory in MB that a neighbour may still hold when it was asked: the context of CUDA, and what allocators keep.
MOST_REST_MB = 2048

#: Seconds of a claim on behalf of a neighbour, at least, so that rounds can renew it.
LEAST_CLAIM_SECONDS = 15.0


@dataclass(slots=True)
class _Watch:
    """What is known of one neighbour. Times are monotonic."""

    neighbour: Neighbour
    process: ProcessIdentity | None = None  #: that listens on its port; None: not visible
    search_at: float = float("-inf")
    ask_at: float = float("-inf")
    state: NeighbourState | None = None  #: its last answer; None: it did not answer
    asked_at: float | None = None  #: when it was asked to free its memory, since it was busy
    held_before: int | None = None  #: its memory in MB at that time
    has_freed: bool = False  #: whether it has freed memory since, or had the time to
    claimed_at: float = float("-inf")


class Neighbours:
    """Watches the neighbours on this machine. One thread calls `run_once`."""

    def __init__(
        self,
        neighbours: Sequence[Neighbour],
        gpus: GPUService,
        closures: Closures,
        waiting: Callable[[], Sequence[TaskSummary]],
        clock: Clock,
        idle_minutes: float,
        wake: Callable[[], None],
    ) -> None:
        """Trigger the training loop by `wake`. `waiting` returns the tasks that only lack GPUs."""
        self._watches = [_Watch(each) for each in neighbours]
        self._gpus = gpus
        self._closures = closures
        self._waiting = waiting
        self._clock = clock
        self.idle_minutes = idle_minutes  #: may change at run time
        self._wake = wake
        self._rests: Mapping[str, NeighbourRest] = {}
        self._thread = PeriodicThread("neighbours", ROUND_SECONDS, self.run_once)

    def start(self) -> None:
        """Start the thread if there are neighbours."""
        if self._watches:
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread. Claims expire by themselves."""
        self._thread.stop()

    def run_once(self) -> None:
        """Ask each neighbour for its state, and do what follows from it. Raise DatabaseUnavailable."""
        rests, reasons = dict[str, NeighbourRest](), dict[str, Reason]()
        wanted = self._wanted()
        for watch in self._watches:
            used = self._find_use(watch)
            if self._closures.rule is NeighbourRule.TRAINING_WAITS:
                watch.asked_at = None
                reasons |= {uuid: _holds(gpu, watch, found) for uuid, (gpu, found) in used.items()}
                continue
            self._ask(watch)
            if watch.process is None and watch.state is None:
                used = {}  # other programs may have such a command, too
            used = used or self._find_boards(watch)
            activity = None if watch.state is None else watch.state.activity
            if activity is Activity.BUSY:
                watch.asked_at = None
                self._claim(watch, used)
            elif activity is not Activity.OWN and not wanted.isdisjoint(used):
                self._free(watch, used)
            self._note_freed(watch)
            for uuid, (gpu, found) in used.items():
                if found and _is_little(watch, found):
                    rests[uuid] = _add(rests.get(uuid), watch, found)
                else:
                    reasons[uuid] = _holds(gpu, watch, found)
        self._publish(rests, reasons)

    def _publish(self, rests: Mapping[str, NeighbourRest], reasons: Mapping[str, Reason]) -> None:
        has_news = rests.keys() != self._rests.keys()
        if rests != self._rests:
            self._rests = rests
            self._gpus.note_rests(rests)
        self._closures.neighbours = reasons
        if has_news:
            self._wake()

    # -- which GPUs ------------------------------------------------------------------------------------------------

    def _wanted(self) -> frozenset[str]:
        """Return the GPUs for which a task waits that could start there, if nothing else used them."""
        waiting = self._waiting()
        if not waiting:
            return frozenset()
        state = self._gpus.state
        offers = [gpu for gpu in list_offers(state) if not gpu.is_available and state.by_uuid[gpu.uuid].task is None]
        closed = {uuid for uuid, found in self._closures.of(offers).items() if found.until or found.leaves}
        # Memory that is in use now may become free.
        all_free = [replace(gpu, free_mb=gpu.total_mb, is_available=True) for gpu in offers if gpu.uuid not in closed]
        return frozenset(gpu.uuid for gpu in all_free if any(suits(gpu, task) for task in waiting))

    def _find_use(self, watch: _Watch) -> dict[str, tuple[JudgedGPU, tuple[GPUProcess, ...]]]:
        """Return the GPUs that have processes of a neighbour, with these, by UUID."""
        process, now = watch.process, self._clock.monotonic()
        if (process is None or not host.is_running(process)) and now >= watch.search_at:
            watch.process, watch.search_at = watch.neighbour.find_process(), now + SILENT_SECONDS
        found = dict[str, tuple[JudgedGPU, tuple[GPUProcess, ...]]]()
        for gpu in self._gpus.state.own_gpus:
            processes = tuple(each for each in gpu.reading.processes or () if _belongs(each, watch))
            if processes and gpu.reading.uuid is not None:
                found[gpu.reading.uuid] = gpu, processes
        return found

    def _find_boards(self, watch: _Watch) -> dict[str, tuple[JudgedGPU, tuple[GPUProcess, ...]]]:
        """Return the only GPU with the name that a neighbour reports, if its processes are not visible."""
        boards = () if watch.state is None else watch.state.boards
        same = [gpu for gpu in self._gpus.state.own_gpus if any((gpu.identity.name or "?") in name for name in boards)]
        return {same[0].reading.uuid: (same[0], ())} if len(same) == 1 and same[0].reading.uuid is not None else {}

    # -- what to do ------------------------------------------------------------------------------------------------

    def _ask(self, watch: _Watch) -> None:
        if self._clock.monotonic() < watch.ask_at:
            return
        watch.state = watch.neighbour.state()
        if watch.state is None:
            watch.ask_at = self._clock.monotonic() + SILENT_SECONDS

    def _claim(self, watch: _Watch, uuids: Collection[str]) -> None:
        """Claim the GPUs of a busy neighbour, or renew the claims."""
        seconds = max(LEAST_CLAIM_SECONDS, 60 * self.idle_minutes)
        now = self._clock.monotonic()
        if not uuids or now - watch.claimed_at < min(30.0, seconds / 4):
            return
        name = watch.neighbour.name
        for uuid in uuids:
            try:
                self._closures.claim(uuid, name, seconds)
            except Conflict as error:
                logger.warning("a neighbour's GPU cannot be claimed", extra={"gpu": uuid, "problem": error.detail})
        watch.claimed_at = now
        self._gpus.republish()
        self._wake()

    def _free(self, watch: _Watch, uuids: Collection[str]) -> None:
        """Ask an idle neighbour to free its memory, once, and again if it still holds too much."""
        now = self._clock.monotonic()
        if watch.asked_at is not None and (self._rests.keys() & uuids or now - watch.asked_at < ASK_AGAIN_SECONDS):
            return
        watch.held_before = None if watch.state is None else watch.state.memory_mb
        watch.asked_at, watch.has_freed = now, False
        watch.neighbour.free()
        logger.info("neighbour asked to free its memory", extra={"neighbour": watch.neighbour.name})

    def _note_freed(self, watch: _Watch) -> None:
        """Note that a neighbour that was asked has freed memory, or had the time to."""
        if watch.asked_at is None or watch.has_freed:
            return
        held, before = None if watch.state is None else watch.state.memory_mb, watch.held_before
        has_fallen = held is not None and before is not None and held < before
        if has_fallen or self._clock.monotonic() - watch.asked_at >= FREE_SECONDS:
            watch.has_freed = True
            # The driver knows what it still holds.
            self._gpus.sweep_soon()


def _belongs(process: GPUProcess, watch: _Watch) -> bool:
    if watch.process is None:
        return watch.neighbour.command in (process.command or "")
    return process.pid == watch.process.pid or watch.process.pid in process.ancestors


def _is_little(watch: _Watch, processes: Sequence[GPUProcess]) -> bool:
    """Return whether what a neighbour holds counts as free: it was asked, and holds little or an unknown amount."""
    mb = _memory(processes)
    return watch.asked_at is not None and (watch.has_freed if mb is None else mb <= MOST_REST_MB)


def _add(other: NeighbourRest | None, watch: _Watch, processes: Sequence[GPUProcess]) -> NeighbourRest:
    """Return the memory and processes of a neighbour on a GPU, added to those of another neighbour."""
    name, mb, pids = watch.neighbour.name, _memory(processes), frozenset(each.pid for each in processes)
    if other is None:
        return NeighbourRest(name, mb, pids)
    both = None if mb is None or other.memory_mb is None else mb + other.memory_mb
    return NeighbourRest(f"{other.name}, {name}", both, pids | other.pids)


def _memory(processes: Sequence[GPUProcess]) -> int | None:
    """Return the memory of processes in MB, or None if it is unknown."""
    known = [each.memory_mb for each in processes]
    return None if None in known else sum(each or 0 for each in known)


def _holds(gpu: JudgedGPU, watch: _Watch, processes: Sequence[GPUProcess]) -> Reason:
    """Return why a GPU is left to a neighbour that holds memory of it."""
    state = watch.state
    mb = _memory(processes) if processes else None if state is None else state.memory_mb
    memory = Reason.of("an unknown amount of memory", "unknown_memory") if mb is None else f"{mb:,} MB"
    asked = watch.asked_at is not None
    why = (
        Reason.of("asked to free its memory, it still holds {memory}", "neighbour_keeps", memory=memory)
        if asked
        else Reason.of("it holds {memory}", "neighbour_holds", memory=memory)
    )
    return neighbour_reason(gpu.reading.index or 0, watch.neighbour.name, why)
