import math
from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.plan.plan import estimate_memory, weights_on_gpu
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import Case, make_images


def test_plan_of_a_known_dataset_has_the_expected_totals(tmp_path: Path):
    case = Case(tmp_path)
    make_images(case.images / "more", 5, (1024, 512))
    case.dataset = {
        "resolutions": [512, 768],
        "enable_ar_bucket": True,
        "min_ar": 0.5,
        "max_ar": 2.0,
        "num_ar_buckets": 3,
        "directories": [
            {"path": str(case.images), "num_repeats": 3},  # 12 square ones, in two resolutions
            {"path": str(case.images / "more")},  # 5 wide ones, in two resolutions
        ],
    }
    case.config.update(epochs=3, gradient_accumulation_steps=2, micro_batch_size_per_gpu=[[512, 2], [768, 1]])
    case.gpus = 2
    # 512: steps of 2 * 2 * 2 = 8: 12 // 8 = 1 and 5 // 8 = 0; 768: of 1 * 2 * 2 = 4: 12 // 4 = 3 and 5 // 4 = 1
    plan = case.check().plan
    assert plan is not None
    assert (plan.steps_per_epoch, plan.total_steps, plan.dataset_items) == (5, 15, 9)
    assert plan.global_batch_size == 8
    case.config["max_steps"] = 7
    plan = case.check().plan
    assert plan is not None
    assert plan.total_steps == 7


@pytest.mark.parametrize(("stages", "expected"), [(1, 22_560), (2, 13_280), (4, 8_640)])
def test_memory_is_divided_among_pipeline_stages(tmp_path: Path, stages: int, expected: int):
    case = Case(tmp_path)
    case.gpus = stages
    case.config["pipeline_stages"] = stages
    plan = case.check().plan
    assert plan is not None
    assert plan.estimated_memory_mb == expected
    assert "22,560 MB" in str(plan.memory_basis)


def test_memory_of_full_fine_tuning_is_unknown(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["adapter"]
    plan = case.check().plan
    assert plan is not None
    assert plan.estimated_memory_mb is None
    assert plan.memory_basis


@pytest.mark.parametrize(
    ("settings", "expected", "basis"),
    [
        ({}, 4_000 + 30_000, "its weights of 30,000 MB"),
        ({"transformer_dtype": "float8"}, 4_000 + 15_000, "its weights of 15,000 MB"),
        ({"blocks_to_swap": 30}, 4_000 + 30_000 // 4, "10 of 40 blocks on the GPU"),
    ],
)
def test_memory_is_estimated_from_the_configured_weights(tmp_path: Path, settings: dict, expected: int, basis: str):
    case = Case(tmp_path, "wan")
    shapes = STAND_INS["wan-t2v-14b"]
    rest = 15_000 * 2**20 - sum(math.prod(shape) for shape in shapes.values())
    weights = write_stand_in(tmp_path / "w.safetensors", {**shapes, "blocks.39.rest": [rest]})
    swap = {"blocks_to_swap": settings.pop("blocks_to_swap")} if "blocks_to_swap" in settings else {}
    case.config["model"] |= {"transformer_path": str(weights), **settings}
    case.config |= swap
    config = TrainerDocument(case.config, "")
    estimated, actual = estimate_memory(config, "wan", None)
    assert estimated == expected
    assert basis in actual.text
    assert weights_on_gpu(config, "wan", None) == expected - 4_000
    config.values["pipeline_stages"] = 2
    assert weights_on_gpu(config, "wan", None) == (expected - 4_000) // 2


def test_memory_of_a_type_without_a_figure_needs_local_weights(tmp_path: Path):
    config = TrainerDocument({"model": {"transformer_path": "/absent"}, "adapter": {"rank": 8}}, "")
    assert estimate_memory(config, "cosmos", None)[0] is None
    shapes = {**STAND_INS["cosmos"], "rest": [10_000 * 2**19]}
    config.table("model")["transformer_path"] = str(write_stand_in(tmp_path / "w.safetensors", shapes))
    assert (estimate_memory(config, "cosmos", None)[0] or 0) > 14_000
