"""Results of benchmarks: a value, its limit, and the value of the peer."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Whether a value is within its limit."""

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
    """Format of values, such as `"{:.1f} ms"`."""

    form: str

    def show(self, value: float) -> str:
        return self.form.format(value)


#: Minimum share of the intended load of trainings and clients; below it the other values mean nothing.
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
    """Return a row that is ok if the value reaches the limit."""
    return Row(what, _figure(value, unit, note), f">= {unit.show(limit)}", beside, _judge(value >= limit))


def below(what: str, value: float, limit: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """Return a row that is ok if the value is below the limit."""
    return Row(what, _figure(value, unit, note), f"< {unit.show(limit)}", beside, _judge(value < limit))


def without_limit(what: str, value: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """Return a row without a limit."""
    return Row(what, _figure(value, unit, note), "-", beside, Verdict.NO_LIMIT)


def cannot_run(what: str, why: str) -> Row:
    """Return a row for a skipped measurement with its reason."""
    return Row(what, "-", "-", why, Verdict.NOT_RUN)


def _judge(is_ok: bool) -> Verdict:
    return Verdict.OK if is_ok else Verdict.MISSED


def _figure(value: float, unit: Unit, note: str) -> str:
    return f"{unit.show(value)} ({note})" if note else unit.show(value)
