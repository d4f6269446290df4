"""Find out whether a report is newer than those before it: a replayed report must not make a dead node look alive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.domain.node import MachineReport

#: The number of boots of a machine that are remembered; the oldest are forgotten first.
MOST_ERAS = 64


@dataclass(frozen=True, slots=True)
class ReportPosition:
    """The newest position of a node's reports. Clocks of two machines are not compared.

    An era is a boot of the machine, with the uptime as position. For an older node, it is a start of its program, with
    the number of the sweep as position. `latest_sent` is the latest time by the node's own clock.
    """

    eras: Mapping[str, float]
    latest_sent: float

    @classmethod
    def of(cls, report: MachineReport) -> "ReportPosition":
        """Return the position after a node's first report."""
        era, position = _position(report)
        return cls({era: position}, _sent(report))

    @property
    def latest(self) -> tuple[str, float]:
        """The latest era and its position."""
        return list(self.eras.items())[-1]

    def after(self, report: MachineReport) -> "ReportPosition | None":
        """Return the position after this report; None if the report is not newer than those before.

        Either the uptime or the clock must advance. So neither a clock that was set back nor a machine that was
        restored from an image is rejected.
        """
        era, position = _position(report)
        known, sent = self.eras.get(era, float("-inf")), _sent(report)
        if position <= known and sent <= self.latest_sent:
            return None
        eras = {each: at for each, at in self.eras.items() if each != era} | {era: max(position, known)}
        return ReportPosition(dict(list(eras.items())[-MOST_ERAS:]), max(sent, self.latest_sent))

    def is_ahead_of(self, other: "ReportPosition") -> bool:
        """Return whether the last report of the other came before the last of this one."""
        era, position = other.latest
        return era in self.eras and position < self.eras[era]


def _position(report: MachineReport) -> tuple[str, float]:
    if report.boot and report.uptime is not None:
        return report.boot, report.uptime
    return f"started {report.place.started}", float(report.sequence)


def _sent(report: MachineReport) -> float:
    return float("-inf") if report.sent_at is None else report.sent_at


def read_position(stored: Any, report: MachineReport) -> ReportPosition:
    """Return the position that was stored with a report. Older servers stored none."""
    try:
        eras = {str(era): float(at) for era, at in stored["eras"].items()}
        return ReportPosition(eras or ReportPosition.of(report).eras, float(stored["latest_sent"]))
    except (TypeError, KeyError, ValueError, AttributeError):
        return ReportPosition.of(report)
