"""What a check may cost: bounds are looked at before anything works on what is sent."""

import time
from pathlib import Path
from typing import Any

import pytest

from api.errors import Mistake
from api.models.training import TrainingRequest
from api.trainers.diffusion_pipe import media
from api.trainers.diffusion_pipe.buckets import Bucketing
from tests.unit.trainers.diffusion_pipe.builders import Case

#: CPU time: a few times what the machine of a developer takes.
SECONDS = 5.0


def keys(count: int) -> dict[str, Any]:
    return {f"k{index}": index for index in range(count)}


@pytest.mark.parametrize(
    ("config", "at"),
    [
        (keys(19_000), "/config"),
        (keys(9_000) | {"null": None}, "/config"),
        (keys(5_800) | {"null": None}, "/config/null"),
        ({"micro_batch_size_per_gpu": [[side, 1] for side in range(1, 15_001)]}, "/config"),
        ({"micro_batch_size_per_gpu": [[side, 1] for side in range(1, 1_001)]}, "/config/micro_batch_size_per_gpu"),
        ({"text": "x" * 10_000_000}, "/config"),
    ],
    ids=["19,000 keys", "9,000 keys and a null", "5,800 keys and a null", "15,000 pairs", "1,000 pairs", "a long text"],
)
def test_a_huge_configuration_is_refused_in_no_time(tmp_path: Path, config: dict[str, Any], at: str):
    case = Case(tmp_path)
    case.config.update(config)
    case.dataset["directories"] *= 900
    began = time.thread_time()
    assert at in case.errors()
    assert time.thread_time() - began < SECONDS


def test_as_many_keys_as_are_taken_are_checked_in_no_time(tmp_path: Path):
    case = Case(tmp_path)
    case.config.update(keys(5_800))
    began = time.thread_time()
    found = case.check()
    assert time.thread_time() - began < SECONDS
    assert found.errors == ()
    assert found.warnings[-1] == Mistake(
        "", "There are 5,600 more findings than these.", "Mend these, then check again."
    )


@pytest.mark.parametrize("name", ["resolutions", "ar_buckets", "size_buckets", "frame_buckets"])
def test_lists_that_each_file_is_compared_with_are_bounded(tmp_path: Path, name: str):
    case = Case(tmp_path)
    case.dataset[name] = [512] * 129
    assert f"/dataset/{name}" in case.errors()


def test_a_text_that_no_parser_should_get_is_none_for_secrets_either(tmp_path: Path):
    case = Case(tmp_path)
    dotted = TrainingRequest(model_type="sdxl", config_toml=".".join("a" * 50_000) + " = 1", dataset_toml="")
    began = time.thread_time()
    assert case.trainer.check(dotted, case.output_dir).errors[0].pointer == "/config_toml"
    assert case.trainer.without_secrets(dotted) == dotted
    assert time.thread_time() - began < SECONDS


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(media, "REASONING_SECONDS", -100.0)
    case = Case(tmp_path)
    (mistake,) = case.check().errors
    assert mistake.pointer == ""
    assert "was given up" in mistake.message


def test_of_two_ratios_equally_near_the_first_counts():
    bucketing = Bucketing(resolutions=(512,), ratios=(0.5, 1.0, 2.0), frames=(1,))
    assert [bucketing.sort(width, 100, 1)[0][0] for width in (1, 60, 80, 100, 140, 150, 9000)] == [
        0.5, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0,
    ]  # fmt: skip
