import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, TextCase, remarks, setting, within

ERRORS = [
    (setting(eval=[]), "/config/eval"),
    (setting(save_every_n_epochs=2), "/config/save/every_n_epochs"),
    (within("optimizer", foreach=None), "/config/optimizer/foreach"),
    (within("optimizer", betas=[0.9, "x"]), "/config/optimizer/betas"),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS)


def test_both_forms_at_once_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    found = case.check(config_toml="epochs = 1", dataset_toml="")
    assert [mistake.pointer for mistake in found.errors] == [""]


def test_incomplete_form_is_an_error(tmp_path: Path):
    case = Case(tmp_path)
    case.dataset = {}
    assert case.errors() == ["/dataset"]


#: CPU time limit in seconds, a few times that of a developer's machine.
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
def test_huge_configuration_is_rejected_quickly(tmp_path: Path, config: dict[str, Any], at: str):
    case = Case(tmp_path)
    case.config.update(config)
    case.dataset["directories"] *= 900
    began = time.thread_time()
    assert at in case.errors()
    assert time.thread_time() - began < SECONDS


def test_errors_in_the_text_have_pointers_into_it(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("'bfloat16'", "'bf16'")
    case.dataset = case.dataset.replace(str(case.images), "/nowhere")
    assert case.errors() == ["/config_toml/model/dtype", "/dataset_toml/directory/0/path"]


def test_missing_text_of_two_is_an_error(tmp_path: Path):
    case = TextCase(tmp_path)
    case.dataset = None  # type: ignore[assignment]
    assert case.errors() == ["/dataset_toml"]
