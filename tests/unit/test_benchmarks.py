"""Benchmarks report missing requirements first, and report no value whose precondition was not met."""

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
    """Replace the benchmarks by two; return the names of those that ran."""
    done: list[str] = []

    def measure(name: str) -> Iterator[Row]:
        done.append(name)
        yield below(name, 0, 1, COUNT)

    monkeypatch.setattr(program, "BENCHMARKS", {name: lambda _, name=name: measure(name) for name in ("one", "two")})
    monkeypatch.setattr(needs, "NEEDS", {"one": (WHOLE, THERE), "two": (PART,)})
    return done


def test_missing_requirements_are_reported_with_their_package_before_measuring(measured, capsys):
    assert program.main([]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "a steam engine: not installed; not measured: one; apt-get install steam",
        "a boiler: cold; not measured: the rows under pressure of two; apt-get install boiler",
        "measuring: two",
    ]
    assert measured == ["two"]


def test_only_requirements_of_selected_benchmarks_are_checked(measured, capsys):
    assert program.main(["two"]) == 0
    assert "steam" not in capsys.readouterr().err


def test_requirements_belong_to_existing_benchmarks():
    assert set(NEEDS) <= set(program.BENCHMARKS)


def test_watching_fails_if_trainings_print_too_little():
    found = watching._Found(idle=0, busy=0, supervisors=[0], trainers=0, lines=1, rss=[0], pss=[0], bare=(0, 0))
    assert verdicts(watching._rows(found)) == {"the same: written by each": Verdict.MISSED}


def test_following_fails_if_logs_grow_too_slowly():
    seen = {"lines": [0], "gaps": 0, "late_p99_ms": 0, "late_p50_ms": 0}
    rows = logs._rows(1, 1, 10, logs._Found(seen=seen, written=[0]))
    assert verdicts(rows) == {"the same: written": Verdict.MISSED}


def test_clients_without_messages_do_not_count_as_load():
    silent = streams._Found(clients={"events": 0, "fewest": 0, "missing": 0, "closed": 0})
    assert verdicts(streams._rows(silent, silent, {}, QUICK)) == {"the same: fewest events of a client": Verdict.MISSED}


def verdicts(rows: Iterator[Row]) -> dict[str, Verdict]:
    """Return the verdicts other than ok, by the name of their row."""
    return {row.what: row.verdict for row in rows if row.verdict not in (Verdict.OK, Verdict.NO_LIMIT)}
