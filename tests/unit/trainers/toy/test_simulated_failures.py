import math
from pathlib import Path

import pytest

from api.trainers.toy.simulated_failures import ERRORS, SimulatedFailures, fail


def test_nothing_fails_without_a_request(tmp_path: Path):
    simulated_failures = SimulatedFailures({}, tmp_path)
    simulated_failures.enter("loading")
    simulated_failures.before_step(1)
    assert simulated_failures.loss_at(1, 0.5) == 0.5


def test_failure_happens_only_before_the_requested_step(tmp_path: Path):
    simulated_failures = SimulatedFailures({"fail_at_step": 3, "fail_with": "disk_full"}, tmp_path)
    simulated_failures.before_step(2)
    with pytest.raises(OSError, match="No space left on device"):
        simulated_failures.before_step(3)
    simulated_failures.before_step(4)


def test_failure_at_step_0_happens_in_loading(tmp_path: Path):
    with pytest.raises(RuntimeError, match="asked to fail"):
        SimulatedFailures({"fail_at_step": 0}, tmp_path).enter("loading")


def test_fail_once_succeeds_the_second_time(tmp_path: Path):
    for is_first in (True, False):
        simulated_failures = SimulatedFailures({"fail_at_step": 1, "fail_once": True}, tmp_path / "output")
        if is_first:
            with pytest.raises(RuntimeError):
                simulated_failures.before_step(1)
        else:
            simulated_failures.before_step(1)


def test_nan_is_a_loss_not_an_exception(tmp_path: Path):
    simulated_failures = SimulatedFailures({"fail_at_step": 2, "fail_with": "nan"}, tmp_path)
    simulated_failures.before_step(2)
    assert simulated_failures.loss_at(1, 0.5) == 0.5
    assert math.isnan(simulated_failures.loss_at(2, 0.5))
    assert math.isnan(simulated_failures.loss_at(3, 0.5))


@pytest.mark.parametrize("how", ERRORS)
def test_error_has_the_text_of_the_real_trainer(how: str):
    with pytest.raises((RuntimeError, OSError)) as raised:
        fail(how)
    assert str(raised.value)


def test_quitting_prints_the_phrase_and_exits_with_0(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as raised:
        fail("quit")
    assert (raised.value.code, capsys.readouterr().out) == (0, "Manually quitting\n")
