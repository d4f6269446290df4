import math
from pathlib import Path

import pytest

from api.trainers.toy.mishaps import ERRORS, Mishaps, fail


def test_nothing_goes_wrong_unasked(tmp_path: Path):
    mishaps = Mishaps({}, tmp_path)
    mishaps.enter("loading")
    mishaps.before_step(1)
    assert mishaps.loss_at(1, 0.5) == 0.5


def test_it_fails_before_the_step_that_was_named_and_before_no_other(tmp_path: Path):
    mishaps = Mishaps({"fail_at_step": 3, "fail_with": "disk_full"}, tmp_path)
    mishaps.before_step(2)
    with pytest.raises(OSError, match="No space left on device"):
        mishaps.before_step(3)
    mishaps.before_step(4)


def test_step_0_is_in_loading(tmp_path: Path):
    with pytest.raises(RuntimeError, match="asked to fail"):
        Mishaps({"fail_at_step": 0}, tmp_path).enter("loading")


def test_what_fails_once_goes_well_the_second_time(tmp_path: Path):
    for is_first in (True, False):
        mishaps = Mishaps({"fail_at_step": 1, "fail_once": True}, tmp_path / "output")
        if is_first:
            with pytest.raises(RuntimeError):
                mishaps.before_step(1)
        else:
            mishaps.before_step(1)


def test_nan_is_a_loss_and_no_failure(tmp_path: Path):
    mishaps = Mishaps({"fail_at_step": 2, "fail_with": "nan"}, tmp_path)
    mishaps.before_step(2)
    assert mishaps.loss_at(1, 0.5) == 0.5
    assert math.isnan(mishaps.loss_at(2, 0.5))
    assert math.isnan(mishaps.loss_at(3, 0.5))


@pytest.mark.parametrize("how", ERRORS)
def test_an_error_is_raised_in_the_words_of_the_real_trainer(how: str):
    with pytest.raises((RuntimeError, OSError)) as raised:
        fail(how)
    assert str(raised.value)


def test_who_quits_says_so_and_ends_with_0(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as raised:
        fail("quit")
    assert (raised.value.code, capsys.readouterr().out) == (0, "Manually quitting\n")
