"""The Xid errors of one GPU since it was last reset: what still bears on its health."""

from dataclasses import dataclass, field

from api.models.xids import XidClass, look_up

#: All reports of one code within so many seconds of the first are one incident.
INCIDENT_SECONDS = 30.0

#: Seconds for which an error that does not forbid the GPU is remembered.
DAY_SECONDS = 86_400.0

#: The most incidents of one code that are kept: more than any rule counts.
_KEPT = 16


@dataclass(slots=True)
class XidHistory:
    """Incidents by code, each with its monotonic time and the task that was on the GPU."""

    last_at: float = float("-inf")
    _incidents: dict[int, list[tuple[float, str | None]]] = field(default_factory=dict)

    def add(self, code: int, now: float, task_id: str | None) -> bool:
        """Notes a report of the driver; False when it belongs to a known incident."""
        self.last_at = now
        incidents = self._incidents.setdefault(code, [])
        if incidents and now - incidents[-1][0] < INCIDENT_SECONDS:
            return False
        incidents.append((now, task_id))
        del incidents[:-_KEPT]
        return True

    def codes(self, now: float) -> tuple[int, ...]:
        """Each code as often as it counts: incidents within a day, or different tasks; a fatal one until a reset."""
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
