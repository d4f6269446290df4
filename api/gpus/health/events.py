"""Record GPU events: Xid errors, changes of status and health, failures and recoveries of the driver."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from api.domain.machines.gpu import GPUStatus, Verdict
from api.domain.machines.gpu_event import EventType, GPUEvent, NodeGPUEvent, Severity
from api.domain.reason import Reason, ReasonOrText, code_of, text_of
from api.gpus.health.judgement import JudgedGPU
from api.gpus.health.xids import XidClass, look_up
from api.gpus.snapshot import GPUSnapshot
from api.util.http.validation import forget_absent

logger = logging.getLogger(__name__)

#: The maximum number of stored events; the oldest are dropped first.
CAPACITY = 10_000

_STATUS_SEVERITY = {GPUStatus.LOST: Severity.CRITICAL, GPUStatus.UNKNOWN: Severity.WARNING}
_XID_SEVERITY = {XidClass.FATAL: Severity.CRITICAL, XidClass.DEGRADED: Severity.WARNING}
_HEALTH_SEVERITY = {
    Verdict.UNHEALTHY: Severity.CRITICAL,
    Verdict.DEGRADED: Severity.WARNING,
    Verdict.UNKNOWN: Severity.WARNING,
}

#: The last seen state of a GPU: status, verdict, and the recovery action that the driver requests.
_Seen = tuple[GPUStatus, Verdict, int]


def xid_severity(xid: int) -> Severity:
    """Return the severity of an Xid for the GPU; 13, 31 and 43 are application errors."""
    return _XID_SEVERITY.get(look_up(xid).kind, Severity.INFO)


def describe_xid(code: int, task_id: str | None) -> Reason:
    """Describe an Xid error, its meaning and the advice, and the effect on the task that was on the GPU."""
    xid = look_up(code)
    params = {"xid": code, "meaning": xid.meaning, "advice": xid.advice}
    if task_id is None:
        return Reason.of("the driver reported Xid {xid} ({meaning}): {advice}", "xid_reported", **params)
    return Reason.of(
        "the driver reported Xid {xid} ({meaning}): {advice}; {task_id} was on it: {retry}",
        "xid_reported_on",
        task_id=task_id,
        retry=xid.retry.message,
        **params,
    )


class GPUEvents:
    """An append-only, bounded log of events in memory."""

    def __init__(self, on_source: Callable[[GPUEvent], None] = lambda event: None) -> None:
        """Create the log. `on_source` is called when the source's state changes; it must return immediately."""
        self._on_source = on_source
        self.is_fleet = False  #: whether there are other nodes, so that events contain a node
        self._lock = threading.Lock()
        self._events: deque[tuple[GPUEvent, str | None]] = deque(maxlen=CAPACITY)  # with the owner of its task
        self._last_id = 0
        self._seen: dict[str, _Seen] = {}
        self._logged: dict[str, tuple[GPUStatus | None, Verdict]] = {}
        self._problem: ReasonOrText | None = None

    def add(
        self,
        now: datetime,
        type_: EventType,
        severity: Severity,
        message: ReasonOrText,
        *,
        gpu: JudgedGPU | None = None,
        previous: str | None = None,
        current: str | None = None,
        xid: int | None = None,
        owner: str | None = None,
        node: str | None = None,
    ) -> GPUEvent:
        """Append one event. `owner` is the owner of its task, if no task holds the GPU."""
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
        """Append events for changes since the last call: of the source, and of each GPU's status and health.

        `failing` are other nodes without current data.
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
                # A failure of the whole driver is logged once and not for each GPU.
                self._log_changes(uuid, gpu)
        # Other machines may report other GPUs each time.
        present = {gpu.reading.uuid or "" for gpu in gpus} if len(self._seen) > len(gpus) else ()
        if present:
            forget_absent(self._seen, present)
            forget_absent(self._logged, present)

    def _log_changes(self, uuid: str, gpu: JudgedGPU) -> None:
        """Log each important change once: loss, return, stale readings and health of a GPU."""
        judgement = gpu.judgement
        trouble = judgement.status if judgement.status in _STATUS_SEVERITY else None
        before = self._logged.get(uuid, (None, Verdict.HEALTHY))
        current = self._logged[uuid] = (trouble, judgement.health.verdict)
        if current == before:
            return
        severity = _STATUS_SEVERITY.get(judgement.status, Severity.INFO)
        if severity is not Severity.CRITICAL:
            severity = _HEALTH_SEVERITY.get(judgement.health.verdict, severity)
        reasons = dict.fromkeys(
            [*([judgement.reason] if trouble and judgement.reason else []), *judgement.health.reasons]
        )
        why = "; ".join(reasons) or ("it is usable again" if before != (None, Verdict.HEALTHY) else "")
        _log(severity, f"it is {judgement.status} and {judgement.health.verdict}: {why}", gpu, self.is_fleet)

    def _compare_source(self, now: datetime, snapshot: GPUSnapshot) -> None:
        # Compare the fact, not the text: a text with seconds would cause an event in each sweep.
        if (snapshot.problem is None) == (self._problem is None):
            return
        before, self._problem = self._problem, snapshot.problem
        if snapshot.problem is not None:
            self.add(now, EventType.SOURCE, Severity.CRITICAL, snapshot.problem, previous="ok", current="failing")
        else:
            message = Reason.of(
                "{source} has readings again; before: {before}", "reads_again", source=snapshot.source, before=before
            )
            self.add(now, EventType.SOURCE, Severity.INFO, message, previous="failing", current="ok")

    def _add_changes(self, now: datetime, gpu: JudgedGPU, previous: _Seen, current: _Seen) -> None:
        if previous[0] is not current[0]:
            message = gpu.judgement.message or Reason.of("is available", "is_available")
            severity = _STATUS_SEVERITY.get(current[0], Severity.INFO)
            self.add(now, EventType.STATUS, severity, message, gpu=gpu, previous=previous[0], current=current[0])
        # A new recovery action is an event, even if the GPU was already unhealthy.
        if previous[1] is not current[1] or (current[2] and previous[2] != current[2]):
            reasons = gpu.judgement.health.messages
            message = (
                Reason.of("{reasons}", "health", reasons=reasons) if reasons else Reason.of("is healthy", "is_healthy")
            )
            severity = _HEALTH_SEVERITY.get(current[1], Severity.INFO)
            self.add(now, EventType.HEALTH, severity, message, gpu=gpu, previous=previous[1], current=current[1])

    def list(self) -> tuple[GPUEvent, ...]:
        """Return all stored events, newest first."""
        return tuple(event for event, _ in self.list_owned())

    def list_owned(self) -> tuple[tuple[GPUEvent, str | None], ...]:
        """Return all stored events, newest first, each with the owner of its task or of the GPU's holder, or None."""
        with self._lock:
            return tuple(reversed(self._events))


def _event(is_fleet: bool, node: str | None, **facts: Any) -> GPUEvent:
    return NodeGPUEvent(**facts, node=node) if is_fleet else GPUEvent(**facts)


def _log(severity: Severity, message: str, gpu: JudgedGPU | None, is_fleet: bool) -> None:
    """Log critical events as errors and all others as warnings, so that the end of an alarm is logged, too."""
    level = logging.ERROR if severity is Severity.CRITICAL else logging.WARNING
    if gpu is None:
        logger.log(level, "%s", message)
    else:
        name = f"{gpu.node}:{gpu.reading.index}" if is_fleet else gpu.reading.index
        logger.log(level, "GPU %s: %s", name, message, extra={"uuid": gpu.reading.uuid})
