from pathlib import Path
from typing import Any

import pytest

from api.domain.tasks.measured_memory import MemoryFacts, MemorySize
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.memory_facts import sizes_of
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case, write_image, write_safetensors, write_video


def facts(case: Case) -> MemoryFacts:
    memory = case.plan().memory
    assert memory is not None
    return memory.facts


@pytest.fixture
def flux(tmp_path: Path) -> Case:
    case = Case(tmp_path, "flux")
    path = write_stand_in(tmp_path / "f.safetensors", STAND_INS["flux-dev"])
    case.config["model"]["transformer_path"] = str(path)
    return case


def test_memory_facts_come_from_the_configuration(flux: Case):
    flux.config |= {"blocks_to_swap": 8, "activation_checkpointing": "unsloth", "micro_batch_size_per_gpu": 2}
    flux.config["model"]["transformer_dtype"] = "float8"
    found = facts(flux)
    assert (found.model_type, found.variant, found.rank, found.blocks_to_swap) == ("flux", "flux-dev", 16, 8)
    assert found.sizes == (MemorySize(512, 1, 2),)
    actual = {name: found.settings[name] for name in ("method", "dtype", "weights_dtype", "activation_checkpointing")}
    assert actual == {
        "method": "lora",
        "dtype": "bfloat16",
        "weights_dtype": "float8",
        "activation_checkpointing": "unsloth",
    }


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        ({"epochs": 99, "warmup_steps": 5, "seed": 7}, False),
        ({"activation_checkpointing": True}, True),
        ({"optimizer": {"type": "AdamW8bit", "lr": 1e-5}}, True),
        ({"optimizer": {"type": "ADAMW_OPTIMI", "lr": 1e-3}}, False),
    ],
)
def test_only_settings_that_affect_memory_are_compared(flux: Case, change: dict[str, Any], is_other: bool):
    before = facts(flux).settings
    flux.config |= change
    assert (facts(flux).settings != before) is is_other


def test_buckets_of_one_resolution_are_one_size(tmp_path: Path):
    case = Case(tmp_path)
    write_image(case.images / "wide.png", (640, 416))
    case.dataset |= {"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0, "num_ar_buckets": 7}
    assert facts(case).sizes == (MemorySize(512, 1, 1),)


def test_videos_count_by_their_frames(tmp_path: Path):
    case = Case(tmp_path, "wan")
    for index in range(2):
        write_video(case.images / f"{index}.mp4", 40, 16, (64, 64))
    case.dataset |= {"frame_buckets": [1, 33]}
    assert facts(case).sizes == (MemorySize(512, 33, 1),)


def test_sizes_covered_by_larger_ones_are_dropped():
    batches = Batches(images=((512, 4), (1024, 1)))
    sizes = sizes_of([(512, 512, 1), (1024, 1024, 1), (256, 256, 1)], batches)
    assert sizes == (MemorySize(512, 1, 4), MemorySize(1024, 1, 1))


def test_unknown_weights_are_identified_by_their_number(tmp_path: Path):
    case = Case(tmp_path)
    case.config["model"]["checkpoint_path"] = write_safetensors(tmp_path / "w.safetensors", {"w": [7]})
    assert facts(case).variant == "7 parameters"
