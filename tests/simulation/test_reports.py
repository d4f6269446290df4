"""A service that trusts reports blindly breaks the promises about nodes."""

from collections.abc import Callable

import pytest

from api.gpus import other_machines
from api.nodes import service
from api.nodes.fleet_store import FleetStore
from api.nodes.service import NodeService
from tests.simulation.__main__ import undisturbed
from tests.simulation.reports import Reports
from tests.simulation.world import Broken

#: Plays in which each planted fault is searched.
TRIES = 12


def go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the last arrival count, whatever its time."""
    monkeypatch.setattr(service.LastReport, "has_overtaken", lambda *_: False)
    monkeypatch.setattr(service.ReportPosition, "after", lambda _, report: service.ReportPosition.of(report))


def keep_to_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the reports of one head from the others."""
    monkeypatch.setattr(NodeService, "_is_news", lambda *_: False)


def trust_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consider a node present forever after its first report."""
    monkeypatch.setattr(other_machines, "SILENT_SECONDS", 10**6)


def forget_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledge a drain, but do not store it."""
    monkeypatch.setattr(FleetStore, "drain", lambda *_: None)


@pytest.mark.quick
@pytest.mark.parametrize("plant", [go_back, keep_to_oneself, trust_for_ever, forget_drains])
def test_planted_fault_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        play(TRIES)


def play(tries: int) -> None:
    for seed in range(tries):
        with undisturbed() as directory:
            Reports(seed, directory).run()
