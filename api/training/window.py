"""A small window of the queue that an engine may look into: tasks that are next and wait for GPUs alone.

An engine with users of its own gives what comes free to who waits there. So the first of ours wait there, too, and stay
tasks of this queue meanwhile: their order, a stop, a hold and quotas are decided here at each pass, and a task that is
none of the first any more is taken back. It is claimed, with leases, once the engine has given it GPUs.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from api.domain.engine import EngineWishes
from api.domain.gpu import GPUOffer, GPUStatus
from api.domain.reason import Reason, code_of
from api.domain.training import TaskSummary
from api.executors.executor import AheadOfTurn, EngineQueue, GivenAhead
from api.files.task_files import TaskFiles
from api.training.moves import attempt_uid
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds for which GPUs that the engine has given are tried to be claimed: a former holder's lease may still drain.
CLAIM_SECONDS = 60.0

#: Seconds for which a job keeps GPUs that it cannot use: a machine may be back at once, and a lease may follow the
#: attempt that has it to the GPU on which the engine runs that.
ASTRAY_SECONDS = 5.0

#: Seconds for which a task whose GPUs could not be claimed is not handed over again.
REST_SECONDS = 120.0

#: The code of the reason of a GPU that a job of the engine's has.
ENGINES_JOB = "slurm_job"

#: Begins a task on GPUs; whether it could.
Claim = Callable[[TaskSummary, Sequence[GPUOffer]], bool]

_Wanted = tuple[int, AheadOfTurn]  # with its priority


@dataclass(frozen=True, slots=True)
class Engine:
    """What a window needs of an engine. `machines` are how many GPUs each of its machines has, by name."""

    queue: EngineQueue
    begun: Callable[[], Collection[str]]  #: the uids of attempts that are begun, and not over
    starting: Callable[[], Collection[str]]  #: those of them that have GPUs and were not seen running yet
    machines: Callable[[], Mapping[str, int | None]]
    wishes: Callable[[], Mapping[str, EngineWishes]]


class EngineWindow:
    """Hands the first tasks of the queue to an engine. One thread calls `turn`."""

    def __init__(self, engine: Engine, size: int, files: Callable[[str], TaskFiles], clock: Clock) -> None:
        """`size` is how many tasks wait there at a time; 0 hands over none."""
        self._engine = engine
        self._size = size
        self._files = files
        self._clock = clock
        self._given_since: dict[str, float] = {}  #: since when (monotonic) an attempt has GPUs there, by uid
        self._astray_since: dict[str, float] = {}  #: since when (monotonic) it cannot use them
        self._rests_until: dict[str, float] = {}
        self._reasons: Mapping[str, Reason] = {}
        #: Whether anything may wait there: at first a former server may have left something.
        self.is_open = True

    def why(self, task: TaskSummary) -> Reason | None:
        """What the engine said last of why a task waits; None where it has not got it, or says no more than we."""
        return self._reasons.get(_uid(task))

    def turn(
        self,
        short: Sequence[TaskSummary],
        offers: Sequence[GPUOffer],
        nodes_of: Mapping[str, frozenset[str]],
        claim: Claim,
    ) -> int:
        """Goes once over what is handed over. `short` are the tasks that wait for GPUs alone, in their order; `claim`
        begins one on GPUs. Returns how many were begun.
        """
        try:
            return self._turn(short, offers, nodes_of, claim)
        except OSError as error:
            # It is looked at again with the next pass; what is there waits.
            self._reasons = {}
            logger.info("nothing is handed to the engine ahead", extra={"problem": error.strerror or str(error)})
            return 0

    def _turn(
        self,
        short: Sequence[TaskSummary],
        offers: Sequence[GPUOffer],
        nodes_of: Mapping[str, frozenset[str]],
        claim: Claim,
    ) -> int:
        there = dict(self._engine.queue.list())
        for uid in self._engine.begun() if there else ():
            # What was handed over for it is its own now.
            there.pop(uid, None)
        self._reasons = {uid: given.reason for uid, given in there.items() if given.reason is not None}
        tasks = {_uid(task): task for task in short}
        begun = {
            uid for uid, given in there.items() if given.node and self._begin(tasks.get(uid), given, offers, claim)
        }
        for uid in begun:
            del there[uid]
        self._give_back_late(there)
        # Of equals who waits there already goes first: who is sent back waits behind all others of the cluster.
        line = sorted(short, key=lambda task: (-task.priority, _uid(task) not in there))
        wanted = self._choose([task for task in line if _uid(task) not in begun], offers, nodes_of)
        self._arrange(wanted, there, offers)
        self.is_open = bool(there) or bool(wanted)
        return len(begun)

    def _begin(
        self,
        task: TaskSummary | None,
        given: GivenAhead,
        offers: Sequence[GPUOffer],
        claim: Claim,
    ) -> bool:
        gpus = [offer for offer in offers if offer.node == given.node and offer.index in given.gpu_indices]
        if task is None or len(gpus) != task.gpu_count:
            return False
        return claim(task, gpus)

    def _give_back_late(self, there: dict[str, GivenAhead]) -> None:
        """Gives back GPUs that cannot be claimed."""
        now = self._clock.monotonic()
        given = {uid for uid, found in there.items() if found.node}
        self._given_since = {uid: self._given_since.get(uid, now) for uid in given}
        self._rests_until = {uid: until for uid, until in self._rests_until.items() if until > now}
        late = [uid for uid in given if now - self._given_since[uid] >= CLAIM_SECONDS]
        for uid in late:
            self._rests_until[uid] = now + REST_SECONDS
            del there[uid]
        if late:
            logger.warning("GPUs that the engine gave ahead cannot be claimed", extra={"attempts": late})
            self._engine.queue.take_back(late)

    def _choose(
        self, short: Sequence[TaskSummary], offers: Sequence[GPUOffer], nodes_of: Mapping[str, frozenset[str]]
    ) -> list[_Wanted]:
        """The first of them that an engine can choose GPUs for, each with its priority."""
        ready, wishes = self._ready(offers) if self._size else {}, self._engine.wishes()
        found: list[_Wanted] = []
        for task in short:
            if len(found) == self._size:
                break
            uid, bound = _uid(task), nodes_of.get(task.task_id)
            nodes = frozenset(
                node
                for node, gpus in ready.items()
                if (bound is None or node in bound) and _serve(gpus, task) and len(gpus) >= task.gpu_count
            )
            # Which GPU of a machine it gives, nobody can ask of an engine.
            if nodes and not task.gpus.references and uid not in self._rests_until:
                directory = self._files(task.task_id).attempts / str(task.attempts + 1)
                one = AheadOfTurn(uid, directory, task.gpu_count, nodes, wishes.get(task.task_id))
                found.append((task.priority, one))
        return found

    def _ready(self, offers: Sequence[GPUOffer]) -> dict[str, list[GPUOffer]]:
        """The machines whose every GPU the engine may give: what keeps one from it is not known there."""
        by_node: dict[str, list[GPUOffer]] = {}
        for offer in offers:
            by_node.setdefault(offer.node, []).append(offer)
        counts = self._engine.machines()
        return {
            node: gpus
            for node, gpus in by_node.items()
            if len(gpus) == counts.get(node) and all(map(_may_be_given, gpus))
        }

    def _arrange(self, wanted: Sequence[_Wanted], there: Mapping[str, GivenAhead], offers: Sequence[GPUOffer]) -> None:
        """Has these wait there, each behind those of a higher priority, and no others."""
        stays, astray = set[str](), self._find_astray(wanted, there, offers)
        turns: list[tuple[int, float]] = []  # the priority and the turn there of each so far
        for priority, one in wanted:
            known = there.get(one.uid)
            behind = max((turn for higher, turn in turns if higher > priority), default=0)
            if known is not None and one.uid not in astray and (known.node or known.number > behind):
                stays.add(one.uid)
                if not known.node and known.nodes is not None and known.nodes != one.nodes:
                    self._engine.queue.widen(one.uid, one.nodes)
                turns.append((priority, 0 if known.node else known.number))
            else:
                turns.append((priority, float("inf")))
        gone = [uid for uid in there if uid not in stays]
        if gone:
            self._engine.queue.take_back(gone)
        fresh = [one for _, one in wanted if one.uid not in stays]
        # Handed over now, it would take the GPUs of an attempt that has claimed them and has no job yet.
        if fresh and all(map(self._engine.queue.has_job, self._engine.starting())):
            for one in fresh:
                self._hand_over(one)

    def _find_astray(
        self, wanted: Sequence[_Wanted], there: Mapping[str, GivenAhead], offers: Sequence[GPUOffer]
    ) -> set[str]:
        """Return the uids whose jobs have GPUs that they cannot use: on a machine that has lost its storage, say, or
        leased to another task, which waits for them.
        """
        now = self._clock.monotonic()
        leased = {(gpu.node, gpu.index): gpu.held_by for gpu in offers if gpu.status is not GPUStatus.DRAINING}
        astray = set[str]()
        for one in (one for _, one in wanted if one.uid in there and there[one.uid].node):
            given = there[one.uid]
            holders = {leased.get((given.node, index)) for index in given.gpu_indices}
            if given.node not in one.nodes or holders - {None, one.uid.rpartition(".")[0]}:
                astray.add(one.uid)
        self._astray_since = {uid: self._astray_since.get(uid, now) for uid in astray}
        return {uid for uid in astray if now - self._astray_since[uid] >= ASTRAY_SECONDS}

    def _hand_over(self, one: AheadOfTurn) -> None:
        """Hands one over; one that the engine does not take leaves its place to others for a while."""
        try:
            is_taken, problem = self._engine.queue.hand_over(one), None
        except OSError as error:
            is_taken, problem = False, error.strerror or str(error)
        if not is_taken:
            self._rests_until[one.uid] = self._clock.monotonic() + REST_SECONDS
        extra = {"attempt": one.uid, "problem": problem}
        logger.info("handed to the engine ahead" if is_taken else "the engine does not take it ahead", extra=extra)


def _uid(task: TaskSummary) -> str:
    """The uid of the attempt that a task would begin next."""
    return attempt_uid(task.task_id, task.attempts + 1)


def _may_be_given(offer: GPUOffer) -> bool:
    said = code_of(offer.reason)
    is_left = offer.status is GPUStatus.DRAINING or (said is not None and said.code == ENGINES_JOB)
    return offer.is_available or offer.held_by is not None or is_left


def _serve(gpus: Sequence[GPUOffer], task: TaskSummary) -> bool:
    return all((offer.total_mb or 0) >= task.gpus.min_memory for offer in gpus)
