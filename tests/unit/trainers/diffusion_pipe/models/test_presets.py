import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from api.catalog.base_models.preset_requests import find_variant, make_request
from api.domain.models.base_model import ComponentNeed, LocalWeights, Preset
from api.domain.tasks.training import GPURequest, TrainingRequest
from api.trainers.diffusion_pipe.base_models import CATALOG
from api.trainers.diffusion_pipe.models.registry import MODELS, PRESETS
from api.trainers.environment import check_env
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import (
    besides_pickles,
    make_images,
    make_trainer,
    make_wan,
    write_right,
    write_video,
)

_IDS = [f"{preset.model_type}-{preset.name}" for preset in PRESETS]


#: An adapter that removes the distillation of Z-Image Turbo.
ADAPTER = {f"diffusion_model.layers.0.attention.qkv.lora_{side}.weight": [16, 3840] for side in "AB"}


def make_stand_in(path: Path, model_type: str, need: ComponentNeed) -> None:
    """A file with the right content and size, or a directory with the files that the trainer needs."""
    slot, fingerprints, kinds = f"{model_type}.{need.key}", need.fingerprints, need.directory_kinds
    size_gb = need.sources[0].size_gb
    if slot.endswith(".merge_adapters"):
        write_stand_in(path, ADAPTER)
    elif not kinds:
        shapes = STAND_INS[fingerprints[0]] if fingerprints else {"w": [4, 4]}
        # A sparse file with the size of the model and the blocks of larger Wan models, to estimate its memory.
        more = int((size_gb or 0) * 10**9 / 2) - sum(math.prod(shape) for shape in shapes.values())
        rest = "blocks.39.rest" if "wan" in str(fingerprints) else "rest"
        write_stand_in(path, {**shapes, rest: [max(more, 1)]})
    elif kinds[0].startswith("wan:"):
        _, kind, width = kinds[0].split(":")
        make_wan(path, kind, int(width))
    else:
        form, _, name = kinds[0].partition(":")
        if form == "diffusers":
            write_right(path / "transformer" / "model.safetensors", f"{slot}/transformer")
            (path / "model_index.json").write_text(json.dumps({"_class_name": name}))
        else:
            write_right(path / "model.safetensors", slot)


def request_of(preset: Preset, root: Path, dataset: Path) -> dict[str, Any]:
    model = CATALOG[preset.model_type]
    encoder = MODELS[preset.model_type].encoder_type
    made = make_request(
        preset, model, find_variant(model, [preset.variant]), LocalWeights(), root, encoder, str(dataset)
    )
    return dict(made.request)


@pytest.mark.parametrize("preset", PRESETS, ids=_IDS)
def test_each_preset_passes_the_check_and_fits_its_tier(tmp_path: Path, preset: Preset):
    model = CATALOG[preset.model_type]
    variant = find_variant(model, [preset.variant])
    assert variant.name == preset.variant
    dataset = make_images(tmp_path / "data")
    if preset.variant.startswith(("2.1-i2v", "2.1-flf2v")):
        for image in dataset.iterdir():
            image.unlink()
        write_video(dataset / "a.mp4", 70, 16, (64, 64))
    request = request_of(preset, tmp_path / "models", dataset)
    for need in (each.of(preset.precisions.get(each.key)) for each in variant.components):
        place = tmp_path / "models" / need.sources[0].repository / need.sources[0].path
        make_stand_in(place, preset.model_type, need)
    found = make_trainer(tmp_path, allow_pickled_weights=preset.model_type == "wan").check(
        TrainingRequest(preset.model_type, GPURequest(count=1), config=request["config"], dataset=request["dataset"]),
        tmp_path / "task" / "output",
    )
    assert [(each.pointer, each.message) for each in found.errors] == []
    assert [(each.pointer, each.message) for each in besides_pickles(found.warnings)] == []
    assert found.plan is not None
    # The share is unknown for full fine-tuning.
    assert (found.plan.estimated_memory_mb is None) is ("adapter" not in request["config"])
    assert (found.plan.estimated_memory_mb or 0) <= preset.tier_gb * 1000
    assert (preset.known_memory_gb or 0) <= preset.tier_gb
    assert check_env(dict(preset.env), ()) == []


def test_each_preset_has_a_source():
    assert all(preset.source and preset.title for preset in PRESETS)
    assert len({(preset.model_type, preset.name) for preset in PRESETS}) == len(PRESETS)


def model_of(model_type: str, name: str) -> dict[str, Any]:
    preset = next(each for each in PRESETS if (each.model_type, each.name) == (model_type, name))
    return request_of(preset, Path("/models"), Path("/data"))["config"]["model"]


def test_presets_match_the_trainers_documentation():
    """docs/supported_models.md and examples/minimax_h3_example.toml at 8f83dbf."""
    minimax = model_of("minimax_h3", "24gb")
    assert (minimax["cfg"], minimax["timestep_sample_method"], minimax["shift"]) == (4, "uniform", 8)
    for name in ("flux2", "ideogram4"):
        assert model_of(name, "48gb" if name == "flux2" else "24gb")["diffusion_model_dtype"] == "float8"
    low, high = model_of("wan", "24gb-2.2-low"), model_of("wan", "24gb-2.2-high")
    assert [(each["min_t"], each["max_t"]) for each in (low, high)] == [(0.0, 0.875), (0.875, 1.0)]
    assert "low_noise" in low["transformer_path"]
    assert "high_noise" in high["transformer_path"]
    assert "merge_adapters" in model_of("z_image", "24gb-turbo")
    assert model_of("anima", "24gb")["llm_adapter_lr"] == 0
    assert "klein-base-9b" in model_of("flux2", "24gb-klein-9b")["diffusion_model"]


def test_file_of_a_preset_has_its_precision():
    assert "int8" in model_of("minimax_h3", "24gb")["diffusion_model"]
    assert "fp8" in model_of("hunyuan-video", "16gb")["transformer_path"]
    assert "bf16" in model_of("hunyuan-video", "48gb")["transformer_path"]
    named = [preset for preset in PRESETS if re.search(r"\b(fp8|int8) file\b", preset.title)]
    assert len(named) == 3
    assert all(preset.precisions for preset in named)
