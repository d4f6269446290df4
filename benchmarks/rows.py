"""What a benchmark finds: a figure, the limit that it has to reach, and what was measured beside it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `is_ok` is None when it could not be measured."""

    what: str
    figure: str
    limit: str
    beside: str
    is_ok: bool | None


@dataclass(frozen=True, slots=True)
class Unit:
    """How values are written: `"{:.1f} ms"`."""

    form: str

    def show(self, value: float) -> str:
        return self.form.format(value)


TIMES = Unit("{:.2f} x")
MILLISECONDS = Unit("{:.1f} ms")
SECONDS = Unit("{:.2f} s")
PERCENT = Unit("{:.2f} %")
MEGABYTES = Unit("{:.0f} MB")
PER_SECOND = Unit("{:,.0f}/s")


def at_least(what: str, value: float, limit: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """A row that is ok when the value reaches the limit."""
    return Row(what, _figure(value, unit, note), f">= {unit.show(limit)}", beside, value >= limit)


def below(what: str, value: float, limit: float, unit: Unit, beside: str = "", note: str = "") -> Row:
    """A row that is ok when the value stays below the limit."""
    return Row(what, _figure(value, unit, note), f"< {unit.show(limit)}", beside, value < limit)


def cannot_run(what: str, why: str) -> Row:
    """A row for what could not be measured."""
    return Row(what, "-", "-", why, None)


def _figure(value: float, unit: Unit, note: str) -> str:
    return f"{unit.show(value)} ({note})" if note else unit.show(value)
