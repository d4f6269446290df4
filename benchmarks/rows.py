"""What a benchmark finds: a figure, the limit that it has to reach, and what was measured beside it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a figure stands to its limit."""

    OK = "ok"
    MISSED = "missed"
    NOT_RUN = "not run"
    NO_LIMIT = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    limit: str
    beside: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Unit:
    """How values are written: `"{:.1f} ms"`."""

    form: str

    def show(self, value: float) -> str:
        return self.form.format(value)


#: Share of what a benchmark asks its trainings and clients for, below which its other figures mean nothing.
ENOUGH = 0.9

TIMES = Unit("{:.2f} x")
MICROSECONDS = Unit("{:.0f} us")
MILLISECONDS = Unit("{:.1f} ms")
SECONDS = Unit("{:.2f} s")
PERCENT = Unit("{:.2f} %")
MEGABYTES = Unit("{:.0f} MB")
SMALL_MEGABYTES = Unit("{:.1f} MB")
PER_SECOND = Unit("{:,.0f}/s")
COUNT = Unit("{:,.0f}")


def at_least(what: str, value: float, limit: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """A row that is ok when the value reaches the limit."""
    return Row(what, _figure(value, unit, note), f">= {unit.show(limit)}", beside, _judge(value >= limit))


def below(what: str, value: float, limit: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """A row that is ok when the value stays below the limit."""
    return Row(what, _figure(value, unit, note), f"< {unit.show(limit)}", beside, _judge(value < limit))


def without_limit(what: str, value: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """A row that says how it is."""
    return Row(what, _figure(value, unit, note), "-", beside, Verdict.NO_LIMIT)


def cannot_run(what: str, why: str) -> Row:
    """A row for what was not measured, and why."""
    return Row(what, "-", "-", why, Verdict.NOT_RUN)


def _judge(is_ok: bool) -> Verdict:
    return Verdict.OK if is_ok else Verdict.MISSED


def _figure(value: float, unit: Unit, note: str) -> str:
    return f"{unit.show(value)} ({note})" if note else unit.show(value)
