import json
import os
from pathlib import Path

import pytest

from api.domain.models.base_model import ComponentNeed
from api.domain.models.weights import Quantisation
from api.trainers.diffusion_pipe.base_models import CATALOG
from api.trainers.diffusion_pipe.models.description import PathKind
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.models.slots import slots_of

NEEDS = [
    pytest.param(name, need, id=f"{name}-{variant.name}-{need.key}")
    for name, model in CATALOG.items()
    for variant in model.variants
    for need in variant.components
]


def test_catalog_has_every_model_type():
    assert set(CATALOG) == set(MODELS)
    assert len(CATALOG) == 24


@pytest.mark.parametrize("model_type", sorted(CATALOG))
def test_each_variant_has_all_paths_of_one_alternative(model_type: str):
    for variant in CATALOG[model_type].variants:
        keys = {need.key for need in variant.components}
        assert any(keys >= set(way) for way in MODELS[model_type].alternatives), variant.name
    names = [variant.name for variant in CATALOG[model_type].variants]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("model_type", "need"), NEEDS)
def test_each_component_fits_its_key(model_type: str, need: ComponentNeed):
    facts = MODELS[model_type]
    assert need.key in facts.kinds or need.key in facts.keys
    for name in need.fingerprints:
        assert need.directory_kinds or f"{model_type}.{need.key}" in slots_of(name), name
    kind = facts.kinds.get(need.key)
    if kind in (PathKind.FILE, PathKind.COMFY, PathKind.SAFETENSORS):
        assert not any(source.is_directory for source in need.sources)
    if kind in (PathKind.DIRECTORY, PathKind.PRETRAINED):
        assert all(source.is_directory for source in need.sources)
        assert need.directory_kinds


def test_scaled_weights_are_loadable_by_comfyui_types():
    for model_type, need in (each.values for each in NEEDS):
        assert (Quantisation.SCALED_FP8 in need.loadable) is MODELS[model_type].comfy, (model_type, need)
        assert Quantisation.NUNCHAKU not in need.loadable, (model_type, need)


def test_each_size_has_a_source_and_each_path_stays_inside():
    for source in (source for each in NEEDS for source in each.values[1].sources):
        assert source.origin, source
        assert source.repository.count("/") == 1, source
        assert ".." not in source.path, source
        assert not source.path.startswith("/"), source


@pytest.mark.skipif("DIFFUSION_PIPE_ROOT" not in os.environ, reason="needs a checkout of the trainer")
def test_trainers_checkout_has_each_type():
    root = Path(os.environ["DIFFUSION_PIPE_ROOT"])
    text = (root / "train.py").read_text()
    assert [name for name in CATALOG if json.dumps(name) not in text and f"'{name}'" not in text] == []
