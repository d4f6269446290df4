"""A GPU with MIG slices."""

import pytest

from tests.nvml.probe import Probe
from tests.standin import StandIn


@pytest.fixture
def sliced(probe_machine: StandIn) -> StandIn:
    """A GPU with two slices, and one without."""
    if not probe_machine._gpus:
        probe_machine.add_gpus(2)
        probe_machine.fail("nvmlEventSetCreate", 3)
        probe_machine.add_mig(0, [("1g.10gb", 9_728), ("2g.20gb", 19_968)])
        probe_machine.set(0, "mig.1.memory_used", 700 << 20)
    return probe_machine


def test_slices_are_listed_with_their_own_memory(sliced: StandIn, probe: Probe) -> None:
    slices = probe.details()["mig"]["slices"]
    assert [(s["memory_total_mb"], s["memory_used_mb"]) for s in slices] == [(9_728, 1), (19_968, 700)]


def test_slices_have_uuids_and_names_of_their_own(sliced: StandIn, probe: Probe) -> None:
    slices = probe.details()["mig"]["slices"]
    assert len({s["uuid"] for s in slices}) == 2
    assert [s["name"].rpartition(" ")[2] for s in slices] == ["1g.10gb", "2g.20gb"]


def test_slices_show_their_instances(sliced: StandIn, probe: Probe) -> None:
    slices = probe.details()["mig"]["slices"]
    assert [(s["gpu_instance_id"], s["compute_instance_id"]) for s in slices] == [(1, 0), (2, 0)]


def test_utilisation_of_a_slice_is_null(sliced: StandIn, probe: Probe) -> None:
    assert [s["utilization_gpu"] for s in probe.details()["mig"]["slices"]] == [None, None]


def test_utilisation_of_a_sliced_gpu_is_null_not_zero(sliced: StandIn, probe: Probe) -> None:
    # NVML does not support it while MIG is on.
    sliced.fail("nvmlDeviceGetUtilizationRates", 3, 0)
    details = probe.details()
    assert details["utilization"]["gpu"] is None
    assert details["unavailable"]["utilization.gpu"] == "unsupported"


def test_the_other_gpu_has_no_slices(sliced: StandIn, probe: Probe) -> None:
    assert probe.details(1)["mig"] == {"enabled": False, "pending": False, "slices": []}


def test_failing_slice_does_not_affect_the_other(sliced: StandIn, probe: Probe) -> None:
    sliced.set(0, "mig.0.memory_total", None)
    try:
        slices = probe.details()["mig"]["slices"]
    finally:
        sliced.set(0, "mig.0.memory_total", 9_728 << 20)
    assert [s["memory_total_mb"] for s in slices] == [None, 19_968]


def test_process_on_a_slice_shows_the_slice(sliced: StandIn, probe: Probe) -> None:
    sliced.set_processes(0, [(5_000_000, 1 << 30, 2, 0)])
    try:
        [process] = probe.details()["processes"]
    finally:
        sliced.set_processes(0, [])
    assert process["gpu_instance_id"] == 2
