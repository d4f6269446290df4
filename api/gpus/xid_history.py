"""The Xid errors of one GPU since its last reset that affect its health."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.gpus.snapshot import GPUReading
from api.gpus.xids import FatalXid, XidClass, look_up

#: Seconds after the first report of a code within which all reports are one incident.
INCIDENT_SECONDS = 30.0

#: Seconds for which a non-fatal error is remembered.
DAY_SECONDS = 86_400.0

#: The most incidents stored per code: more than any rule counts.
_KEPT = 16


@dataclass(frozen=True, slots=True)
class XidCount:
    """How often an Xid was reported for a GPU, and the last time (Unix seconds)."""

    count: int
    last_at: float


@dataclass(slots=True)
class XidHistory:
    """Incidents by code, each with its monotonic time and the task that was on the GPU."""

    last_at: float = float("-inf")
    boot: str = ""
    was_action_asked: bool = False
    energy_joules: float | None = None
    #: since this server started; a reset does not change them
    counts: dict[int, XidCount] = field(default_factory=dict)
    _incidents: dict[int, list[tuple[float, str | None]]] = field(default_factory=dict)

    def add(self, code: int, now: float, task_id: str | None) -> bool:
        """Record a report of the driver. Return False if it belongs to a known incident."""
        self.last_at = now
        incidents = self._incidents.setdefault(code, [])
        if incidents and now - incidents[-1][0] < INCIDENT_SECONDS:
            return False
        incidents.append((now, task_id))
        del incidents[:-_KEPT]
        return True

    def codes(self, now: float) -> tuple[int, ...]:
        """Return each code as often as it counts.

        Incidents of a day count, or different tasks; a fatal code counts until a reset.
        """
        found: list[int] = []
        for code, incidents in self._incidents.items():
            recent = [incident for incident in incidents if now - incident[0] < DAY_SECONDS]
            xid = look_up(code)
            times = len({task_id for _, task_id in recent if task_id}) if xid.by_program else len(recent)
            if recent:
                found.extend([code] * max(1, times))
            elif xid.kind is XidClass.FATAL:
                found.append(code)
        return tuple(found)

    def is_reset(self, gpu: GPUReading, boot: str, has_real_counters: bool) -> bool:
        """Return whether a reading shows that the GPU was reset after its errors.

        Signs are a new boot of its machine, a restarted energy counter, and a recovery action that the driver no longer
        requests.
        """
        vitals = gpu.vitals
        if boot and self.boot and boot != self.boot:
            return True
        if vitals is None or gpu.read_monotonic is None or gpu.read_monotonic <= self.last_at:
            return False
        if vitals.recovery_action == 0 and self.was_action_asked:
            return True
        self.was_action_asked = self.was_action_asked or bool(vitals.recovery_action)
        before, energy = self.energy_joules, vitals.energy_joules
        if has_real_counters and energy is not None:
            self.energy_joules = energy
            return before is not None and energy < before
        return False

    def forgive(self) -> None:
        """Clear the incidents, because the GPU was reset."""
        self._incidents = {}
        self.was_action_asked, self.energy_joules = False, None

    def fatal(self, now: float) -> Mapping[int, FatalXid]:
        """Return the errors because of which the GPU must not be offered now, by code."""
        times = Counter(self.codes(now)) if self._incidents else {}
        return {
            code: FatalXid(count, self._last(code), self.boot, self.was_action_asked, self.energy_joules)
            for code, count in times.items()
            if look_up(code).kind_after(count) is XidClass.FATAL
        }

    def _last(self, code: int) -> float:
        return self.counts[code].last_at if code in self.counts else 0.0

    def restore(self, code: int, known: FatalXid, now: float) -> None:
        """Restore a stored error. Its age is unknown, so it counts from now."""
        self._incidents[code] = [(now, f"earlier {number}") for number in range(min(known.times, _KEPT))]
        self.counts.setdefault(code, XidCount(known.times, known.last_at))
        self.boot = self.boot or known.boot
        self.was_action_asked = self.was_action_asked or known.was_action_asked
        self.energy_joules = known.energy_joules if self.energy_joules is None else self.energy_joules
