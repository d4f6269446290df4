"""Configurations that were written from the trainer's code (commit 8f83dbf), without knowledge of the checks.

Each line of a table in `held_out` is [name, the deciding line of the trainer, model type, GPUs, changes], and for
invalid ones a pattern that a finding must match. Changes apply to `plain.json`'s [model] and to a plain
configuration, by dotted key: `d:` for the dataset, `i:` for its first directory. null removes a key. `text:`,
`head:` and `replace:` change the TOML text. The modules there create `@data` and `@models`.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from api.domain.tasks.training import GPURequest, TrainingRequest
from api.errors import Finding
from api.trainers.toml_text import write
from api.trainers.trainer import Check
from tests.unit.trainers.diffusion_pipe.builders import make_trainer
from tests.unit.trainers.diffusion_pipe.held_out.datasets import make_datasets
from tests.unit.trainers.diffusion_pipe.held_out.models import make_models

Row = list[Any]
FOLDER = Path(__file__).parent / "held_out"
PLAIN = json.loads((FOLDER / "plain.json").read_text())
CONFIG = {
    "epochs": 10,
    "micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "save_every_n_epochs": 2,
    "checkpoint_every_n_minutes": 60,
    "activation_checkpointing": True,
    "adapter": {"type": "lora", "rank": 32},
    "optimizer": {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99], "weight_decay": 0.01},
}
DATASET = {"resolutions": [512], "directory": [{"path": "@data/img", "num_repeats": 1}]}
COSMOS = {"size_buckets": [[960, 960, 1]], "directory": [{"path": "@data/img", "num_repeats": 1}]}


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = tmp_path_factory.mktemp("held-out")
    make_datasets(world / "data")
    make_models(world / "models")
    make_trainer(world)
    shutil.copytree(world / "data" / "img", world / "trainer" / "data" / "img")
    shutil.copytree(world / "models" / "lora", world / "trainer" / "models")
    shutil.copy(world / "models" / "vae.safetensors", world / "trainer" / "models")
    return world


def change(values: dict[str, Any], key: str, value: Any) -> None:
    *way, last = key.split(".")
    for step in way:
        values = values.setdefault(step, {})
    if value is None:
        values.pop(last, None)
    else:
        values[last] = value


def texts(row: Row, world: Path) -> list[str]:
    _, _, model_type, _, changes, *_ = row
    copy = json.loads(json.dumps([CONFIG, COSMOS if model_type == "cosmos" else DATASET]))
    config, dataset = copy
    config["model"] = {"type": model_type, "dtype": "bfloat16", **PLAIN[model_type]}
    for key, value in changes.items():
        if key.startswith("i:"):
            change(dataset["directory"][0], key[2:], value)
        elif not key.endswith(":"):
            change(dataset if key.startswith("d:") else config, key.removeprefix("d:"), value)
    text = changes.get("head:", "") + write(config) + changes.get("text:", "")
    for old, new in changes.get("replace:", ()):
        text = text.replace(old, new)
    locations = (("@data", str(world / "data")), ("@models", str(world / "models")))
    found = [text, write(dataset)]
    for mark, place in locations:
        found = [text.replace(mark, place) for text in found]
    return found


def check(row: Row, world: Path) -> Check:
    config, dataset = texts(row, world)
    request = TrainingRequest(
        model_type=row[2], gpus=GPURequest(count=row[3]), config_toml=config, dataset_toml=dataset
    )
    return make_trainer(world, allow_pickled_weights=True).check(request, world / "task" / "output")


def is_reported(row: Row, mistakes: tuple[Finding, ...]) -> bool:
    return any(re.search(row[5], f"{found.pointer} {found.message} {found.remedy}") for found in mistakes)


@pytest.mark.parametrize("row", rows("faults"), ids=lambda row: row[0])
def test_request_that_would_fail_or_hang_is_an_error(world: Path, row: Row):
    found = check(row, world)
    assert is_reported(row, found.errors), found


@pytest.mark.parametrize("row", rows("silent"), ids=lambda row: row[0])
def test_unexpected_behaviour_of_the_trainer_is_a_warning(world: Path, row: Row):
    found = check(row, world)
    assert found.errors == ()
    assert is_reported(row, found.warnings), found


@pytest.mark.parametrize("row", rows("valid"), ids=lambda row: row[0])
def test_request_that_the_trainer_accepts_is_never_rejected(world: Path, row: Row):
    assert check(row, world).errors == ()
