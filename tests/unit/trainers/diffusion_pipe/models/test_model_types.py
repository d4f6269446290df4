from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.models.registry import MODELS, ModelType, training_mb
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.trainers.diffusion_pipe.builders import Case, besides_pickles

LORA_ONLY = {"ltx-video", "hunyuan-video", "cosmos", "hidream", "sd3", "omnigen2", "auraflow"}
NO_BLOCK_SWAP = {"sdxl", "ltx-video", "cosmos", "lumina_2", "sd3", "omnigen2"}
CACHES = {"hunyuan_video_15": "hunyuan_video_1.5", "ltx-video": "single_file_path"}


def test_model_types_are_those_of_requests():
    assert DiffusionPipe.model_types == {member.value for member in ModelType}


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_complete_request_has_no_findings(tmp_path: Path, model_type: str):
    found = Case(tmp_path, model_type).check()
    assert found.errors == ()
    assert besides_pickles(found.warnings) == []
    assert found.plan is not None
    assert found.plan.total_steps == 40
    # No source gives a figure for Cosmos, so it is estimated from the weights.
    assert found.plan.estimated_memory_mb == (training_mb(model_type) or 4_032)


@pytest.mark.parametrize("model_type", sorted(MODELS.keys() - {"flux2"}))
def test_cache_is_in_the_dataset_directory_under_the_trainers_model_name(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    plan = case.check().plan
    assert plan is not None
    assert plan.caches == (str(case.images / "cache" / CACHES.get(model_type, model_type)),)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_full_fine_tuning_is_limited_to_models_that_can_be_saved(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    del case.config["adapter"]
    assert case.errors() == (["/config/adapter"] if model_type in LORA_ONLY else [])


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_block_swap_is_limited_to_models_that_support_it(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["blocks_to_swap"] = 4
    assert case.errors() == (["/config/blocks_to_swap"] if model_type in NO_BLOCK_SWAP else [])


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_lokr_is_rejected_for_models_that_cannot_save_it(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["adapter"] = {"type": "lokr", "rank": 1e6}
    assert case.errors() == (["/config/adapter/type"] if model_type in ("flux", "sdxl") else [])
