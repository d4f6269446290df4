"""The faults of simulated GPUs, for tests of monitoring and alerts."""

import re
from dataclasses import dataclass
from enum import StrEnum


class SimulatedFault(StrEnum):
    """The kinds of simulated faults."""

    OVERHEATS = "overheats"  #: it is hotter than its slowdown temperature
    LOST = "lost"  #: the driver cannot reach it
    FAN_STOPS = "fan"  #: its fan stops, and it becomes hot
    POWER_BRAKE = "brake"  #: a power brake slows it down
    XID = "xid"  #: the driver reports this error once


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """A fault of one GPU. Seconds count from the start of the service; `lasts` is infinite for a permanent fault."""

    at: float
    gpu: int
    fault: SimulatedFault
    lasts: float = float("inf")
    xid: int | None = None

    def is_on(self, elapsed: float) -> bool:
        """Return whether the fault is active this many seconds after the start."""
        return self.at <= elapsed < self.at + self.lasts


_EVENT = re.compile(r"(\d+)([smh]?) +gpu(\d{1,4}) +(overheats|lost|fan|brake|xid)(?: +(\d+)([smh]?))?")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_events(text: str) -> tuple[SimulatedEvent, ...]:
    """Parse events from text such as "30s gpu0 overheats 5m; 1m gpu1 xid 79": time, GPU, fault, duration or number.

    Raises ValueError with the problem.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _EVENT.fullmatch(part.lower())
        if match is None:
            raise ValueError(
                f'holds "{part[:80]}": an event looks like "30s gpu0 overheats 5m", with overheats, lost, fan, brake, '
                'or "1m gpu1 xid 79"'
            )
        at, unit, gpu, fault, figure, of = match.groups()
        when, kind = float(at) * _SECONDS[unit], SimulatedFault(fault)
        if kind is SimulatedFault.XID:
            if figure is None or of:
                raise ValueError(f'holds "{part[:80]}": an Xid needs its number, such as "xid 79"')
            found.append(SimulatedEvent(when, int(gpu), kind, xid=int(figure)))
        else:
            lasts = float("inf") if figure is None else float(figure) * _SECONDS[of or ""]
            found.append(SimulatedEvent(when, int(gpu), kind, lasts))
    return tuple(found)
