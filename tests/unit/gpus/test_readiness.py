"""Reliability of readings by their age."""

from api.gpus.readiness import READY_SWEEPS, judge_readiness
from api.gpus.state import GPUState
from tests.unit.builders import MONOTONIC, judged, lost, reading, snapshot

INTERVAL = 5.0


def state(*gpus) -> GPUState:
    return GPUState("here", snapshot(*gpus), tuple(judged(gpu) for gpu in gpus), {}, 0)


def test_fresh_readings_are_ready_with_their_age():
    found = judge_readiness(state(reading()), MONOTONIC + 2.04, INTERVAL)
    assert (found.status, found.reasons, found.reading_age) == ("ready", (), 2.0)


def test_old_reading_is_reported_with_its_gpu():
    old = reading(1, read_monotonic=MONOTONIC - READY_SWEEPS * INTERVAL - 1)
    found = judge_readiness(state(reading(), old), MONOTONIC, INTERVAL)
    assert found.status == "not_ready"
    assert found.reasons == ("the reading of GPU 1 is older than 3 sweeps: no later sweep",)


def test_lost_gpu_does_not_affect_readiness():
    assert judge_readiness(state(reading(), lost(1)), MONOTONIC, INTERVAL).status == "ready"


def test_without_gpus_the_sweep_has_an_age():
    found = judge_readiness(state(), MONOTONIC + READY_SWEEPS * INTERVAL + 1, INTERVAL)
    assert found.reasons == ("the last sweep is older than 3 intervals",)
