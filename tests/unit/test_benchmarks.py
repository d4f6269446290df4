"""The benchmarks' own promises: what is lacking is said first, and a figure without its condition is no figure."""

from collections.abc import Iterator

import pytest

from benchmarks import __main__ as program
from benchmarks import logs, needs, streams, watching
from benchmarks.effort import QUICK
from benchmarks.needs import NEEDS, Need
from benchmarks.rows import COUNT, Row, Verdict, below

WHOLE = Need("a steam engine", lambda: "not installed", "steam")
PART = Need("a boiler", lambda: "cold", "boiler", rows="under pressure")
THERE = Need("water", lambda: None, "water")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was measured, of two benchmarks."""
    done: list[str] = []

    def measure(name: str) -> Iterator[Row]:
        done.append(name)
        yield below(name, 0, 1, COUNT)

    monkeypatch.setattr(program, "BENCHMARKS", {name: lambda _, name=name: measure(name) for name in ("one", "two")})
    monkeypatch.setattr(needs, "NEEDS", {"one": (WHOLE, THERE), "two": (PART,)})
    return done


def test_what_is_lacking_is_named_with_its_package_before_anything_is_measured(measured, capsys):
    assert program.main([]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "a steam engine: not installed; not measured: one; apt-get install steam",
        "a boiler: cold; not measured: the rows under pressure of two; apt-get install boiler",
        "measuring: two",
    ]
    assert measured == ["two"]


def test_only_what_is_measured_has_to_be_there(measured, capsys):
    assert program.main(["two"]) == 0
    assert "steam" not in capsys.readouterr().err


def test_needs_are_those_of_benchmarks_that_exist():
    assert set(NEEDS) <= set(program.BENCHMARKS)


def test_watching_trainings_that_say_too_little_is_no_success():
    found = watching._Found(idle=0, busy=0, supervisors=[0], trainers=0, lines=1, rss=[0], pss=[0], bare=(0, 0))
    assert verdicts(watching._rows(found)) == {"the same: written by each": Verdict.MISSED}


def test_following_logs_that_do_not_grow_as_they_should_is_no_success():
    seen = {"lines": [0], "gaps": 0, "late_p99_ms": 0, "late_p50_ms": 0}
    rows = logs._rows(1, 1, 10, logs._Found(seen=seen, written=[0]))
    assert verdicts(rows) == {"the same: written": Verdict.MISSED}


def test_clients_that_hear_nothing_are_no_load():
    silent = streams._Found(clients={"events": 0, "fewest": 0, "missing": 0, "closed": 0})
    assert verdicts(streams._rows(silent, silent, {}, QUICK)) == {"the same: fewest events of a client": Verdict.MISSED}


def verdicts(rows: Iterator[Row]) -> dict[str, Verdict]:
    """Of those that are not ok, by what they are about."""
    return {row.what: row.verdict for row in rows if row.verdict not in (Verdict.OK, Verdict.NO_LIMIT)}
