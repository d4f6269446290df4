"""What happened to the GPUs: Xid errors, changes of status and health, the driver's coming and going."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from api.domain.event import EventType, GPUEvent, NodeGPUEvent, Severity
from api.domain.gpu import GPUStatus, Verdict
from api.domain.reason import Reason, Words, code_of, text_of
from api.gpus.judgement import JudgedGPU
from api.gpus.snapshot import GPUSnapshot
from api.gpus.xids import XidClass, look_up
from api.util.bounds import forget_absent

logger = logging.getLogger(__name__)

#: How many events are kept; the oldest are forgotten first.
CAPACITY = 10_000

_STATUS_SEVERITY = {GPUStatus.LOST: Severity.CRITICAL, GPUStatus.UNKNOWN: Severity.WARNING}
_XID_SEVERITY = {XidClass.FATAL: Severity.CRITICAL, XidClass.DEGRADED: Severity.WARNING}
_HEALTH_SEVERITY = {
    Verdict.UNHEALTHY: Severity.CRITICAL,
    Verdict.DEGRADED: Severity.WARNING,
    Verdict.UNKNOWN: Severity.WARNING,
}

#: What `compare` remembers of a GPU: status, verdict, and the number of what the driver asks for.
_Seen = tuple[GPUStatus, Verdict, int]


def xid_severity(xid: int) -> Severity:
    """How much an Xid matters for the GPU; 13, 31 and 43 are faults of the application."""
    return _XID_SEVERITY.get(look_up(xid).kind, Severity.INFO)


def describe_xid(code: int, task_id: str | None) -> Reason:
    """What the driver reported, what it means and what to do; for the task that was on the GPU, too."""
    xid = look_up(code)
    said = {"xid": code, "meaning": xid.meaning, "advice": xid.advice}
    if task_id is None:
        return Reason.of("the driver reported Xid {xid} ({meaning}): {advice}", "xid_reported", **said)
    return Reason.of(
        "the driver reported Xid {xid} ({meaning}): {advice}; {task_id} was on it: {retry}",
        "xid_reported_on",
        task_id=task_id,
        retry=xid.retry.words,
        **said,
    )


class GPUEvents:
    """An append-only record, bounded, in memory."""

    def __init__(self, on_source: Callable[[GPUEvent], None] = lambda event: None) -> None:
        """`on_source` is told when the driver comes, fails or goes; it must return at once."""
        self._on_source = on_source
        self.is_fleet = False  #: whether there are other machines, so that events name theirs
        self._lock = threading.Lock()
        self._events: deque[tuple[GPUEvent, str | None]] = deque(maxlen=CAPACITY)  # with the owner of its task
        self._last_id = 0
        self._seen: dict[str, _Seen] = {}
        self._said: dict[str, tuple[GPUStatus | None, Verdict]] = {}
        self._problem: Words | None = None

    def add(
        self,
        now: datetime,
        type_: EventType,
        severity: Severity,
        message: Words,
        *,
        gpu: JudgedGPU | None = None,
        previous: str | None = None,
        current: str | None = None,
        xid: int | None = None,
        owner: str | None = None,
        node: str | None = None,
    ) -> GPUEvent:
        """Appends one event. `owner`: of the task that it is about; else of the one that holds the GPU."""
        if gpu is not None and gpu.task is not None:
            owner = gpu.task.owner
        with self._lock:
            self._last_id += 1
            event = _event(
                self.is_fleet,
                node if gpu is None else gpu.node,
                id=self._last_id,
                timestamp=now,
                type=type_,
                severity=severity,
                gpu_id=None if gpu is None else gpu.reading.index,
                uuid=None if gpu is None else gpu.reading.uuid,
                message=text_of(message),
                previous=previous,
                current=current,
                xid=xid,
                message_code=code_of(message),
            )
            self._events.append((event, owner))
        if type_ is EventType.SOURCE:
            self._on_source(event)
        if type_ not in (EventType.STATUS, EventType.HEALTH):
            _log(severity, text_of(message), gpu, self.is_fleet)
        return event

    def compare(
        self, now: datetime, snapshot: GPUSnapshot, gpus: Sequence[JudgedGPU], failing: Collection[str] = ()
    ) -> None:
        """Appends events for what changed since the last call: the source, each GPU's status and health. `failing`:
        other nodes of which nothing is known now.
        """
        self._compare_source(now, snapshot)
        for gpu in gpus:
            uuid = gpu.reading.uuid
            if uuid is None or gpu.is_twin:
                continue
            current = (gpu.judgement.status, gpu.judgement.health.verdict, gpu.vitals.recovery_action or 0)
            previous = self._seen.get(uuid)
            self._seen[uuid] = current
            if previous is not None and previous != current:
                self._add_changes(now, gpu, previous, current)
            if snapshot.problem is None and gpu.node not in failing:
                # While the driver as a whole fails, that is said once and not for each GPU.
                self._say(uuid, gpu)
        # Other machines may report other GPUs each time.
        present = {gpu.reading.uuid or "" for gpu in gpus} if len(self._seen) > len(gpus) else ()
        if present:
            forget_absent(self._seen, present)
            forget_absent(self._said, present)

    def _say(self, uuid: str, gpu: JudgedGPU) -> None:
        """Logs each change that operators watch for once: loss, return, age and health of a GPU."""
        judgement = gpu.judgement
        trouble = judgement.status if judgement.status in _STATUS_SEVERITY else None
        before = self._said.get(uuid, (None, Verdict.HEALTHY))
        current = self._said[uuid] = (trouble, judgement.health.verdict)
        if current == before:
            return
        severity = _STATUS_SEVERITY.get(judgement.status, Severity.INFO)
        if severity is not Severity.CRITICAL:
            severity = _HEALTH_SEVERITY.get(judgement.health.verdict, severity)
        reasons = dict.fromkeys(
            [*([judgement.reason] if trouble and judgement.reason else []), *judgement.health.reasons]
        )
        why = "; ".join(reasons) or ("it can be used again" if before != (None, Verdict.HEALTHY) else "")
        _log(severity, f"it is {judgement.status} and {judgement.health.verdict}: {why}", gpu, self.is_fleet)

    def _compare_source(self, now: datetime, snapshot: GPUSnapshot) -> None:
        # Compared by the fact, not by the text: a text that counts seconds would be an event a sweep.
        if (snapshot.problem is None) == (self._problem is None):
            return
        before, self._problem = self._problem, snapshot.problem
        if snapshot.problem is not None:
            self.add(now, EventType.SOURCE, Severity.CRITICAL, snapshot.problem, previous="ok", current="failing")
        else:
            message = Reason.of(
                "{source} gives readings again; before: {before}", "reads_again", source=snapshot.source, before=before
            )
            self.add(now, EventType.SOURCE, Severity.INFO, message, previous="failing", current="ok")

    def _add_changes(self, now: datetime, gpu: JudgedGPU, previous: _Seen, current: _Seen) -> None:
        if previous[0] is not current[0]:
            message = gpu.judgement.words or Reason.of("is available", "is_available")
            severity = _STATUS_SEVERITY.get(current[0], Severity.INFO)
            self.add(now, EventType.STATUS, severity, message, gpu=gpu, previous=previous[0], current=current[0])
        # Another thing that the driver asks for is news, even of a GPU that was unhealthy before.
        if previous[1] is not current[1] or (current[2] and previous[2] != current[2]):
            reasons = gpu.judgement.health.words
            message = (
                Reason.of("{reasons}", "health", reasons=reasons) if reasons else Reason.of("is healthy", "is_healthy")
            )
            severity = _HEALTH_SEVERITY.get(current[1], Severity.INFO)
            self.add(now, EventType.HEALTH, severity, message, gpu=gpu, previous=previous[1], current=current[1])

    def list(self) -> tuple[GPUEvent, ...]:
        """Every event that is kept, newest first."""
        return tuple(event for event, _ in self.list_owned())

    def list_owned(self) -> tuple[tuple[GPUEvent, str | None], ...]:
        """The same, each with the owner of the task that it is about or that held the GPU; None: nobody's."""
        with self._lock:
            return tuple(reversed(self._events))


def _event(is_fleet: bool, node: str | None, **facts: Any) -> GPUEvent:
    return NodeGPUEvent(**facts, node=node) if is_fleet else GPUEvent(**facts)


def _log(severity: Severity, message: str, gpu: JudgedGPU | None, is_fleet: bool) -> None:
    """Logs critical news as errors, all else as warnings: the end of an alarm must reach whoever got the alarm."""
    level = logging.ERROR if severity is Severity.CRITICAL else logging.WARNING
    if gpu is None:
        logger.log(level, "%s", message)
    else:
        called = f"{gpu.node}:{gpu.reading.index}" if is_fleet else gpu.reading.index
        logger.log(level, "GPU %s: %s", called, message, extra={"uuid": gpu.reading.uuid})
