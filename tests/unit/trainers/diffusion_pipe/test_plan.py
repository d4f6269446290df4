from pathlib import Path

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, make_images


def test_plan_of_a_known_dataset_has_the_totals_counted_by_hand(tmp_path: Path):
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


@pytest.mark.parametrize(("stages", "expected"), [(1, 9_200), (2, 6_600), (4, 5_300)])
def test_memory_is_shared_by_the_stages_of_a_pipeline(tmp_path: Path, stages: int, expected: int):
    case = Case(tmp_path)
    case.gpus = stages
    case.config["pipeline_stages"] = stages
    plan = case.check().plan
    assert plan is not None
    assert plan.estimated_memory_mb == expected
    assert "9,200 MB" in str(plan.memory_basis)


def test_memory_of_full_fine_tuning_is_not_known(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["adapter"]
    plan = case.check().plan
    assert plan is not None
    assert plan.estimated_memory_mb is None
    assert plan.memory_basis
