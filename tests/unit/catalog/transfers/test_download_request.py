from pathlib import Path
from typing import Any

import pytest

from api.catalog.transfers.download_request import DownloadOrder, DownloadRules, make_request
from api.errors import Invalid, ModelNotFound, PicklesRefused
from api.trainers.diffusion_pipe.base_models import CATALOG

RULES = DownloadRules(Path("/models"), "https://hub", (), False, 0)


def test_model_is_the_first_source_of_each_component():
    request = make_request(DownloadOrder(model_id="qwen_image"), CATALOG, RULES)
    assert [each.repository for each in request.repositories] == [
        "Comfy-Org/Qwen-Image_ComfyUI",
        "Comfy-Org/Qwen-Image_ComfyUI",
        "Qwen/Qwen-Image",
    ]
    assert request.repositories[2].include == ("vae/diffusion_pytorch_model.safetensors",)


def test_directory_excludes_files_that_the_trainer_does_not_open():
    request = make_request(DownloadOrder(model_id="flux", components=("diffusers_path",)), CATALOG, RULES)
    (only,) = request.repositories
    assert (only.include, "transformer/*" in only.exclude) == ((), True)


def test_every_variant_can_be_downloaded_if_pickles_are_allowed():
    rules = DownloadRules(Path("/models"), "https://hub", (), True, 0)
    for model in CATALOG.values():
        for variant in model.variants:
            components = tuple(need.key for need in variant.components if need.sources)
            order = DownloadOrder(model_id=model.model_type, version=variant.name, components=components)
            assert make_request(order, CATALOG, rules).repositories


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"model_id": "nothing"}, "models"),
        ({"model_id": "flux", "version": "x"}, "versions"),
        ({"model_id": "flux", "components": ("vae",)}, "components"),
    ],
)
def test_unknown_name_is_rejected_with_the_known_ones(given: dict[str, Any], known: str):
    with pytest.raises(ModelNotFound) as found:
        make_request(DownloadOrder(**given), CATALOG, RULES)
    assert found.value.data[known]


def test_published_pickle_is_rejected_unless_allowed():
    with pytest.raises(PicklesRefused):
        make_request(DownloadOrder(model_id="wan"), CATALOG, RULES)
    with pytest.raises(ModelNotFound, match="No source of"):
        make_request(DownloadOrder(model_id="cosmos"), CATALOG, RULES)


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("https://h/a/b.bin?x=/y", None, "b.bin"),
        ("https://h/a", "c.bin", "c.bin"),
        ("https://h/..", None, "0" * 16 + ".download"),
    ],
)
def test_file_of_a_url_has_a_safe_name(url: str, name: str | None, expected: str):
    order = DownloadOrder(url=url, sha256="0" * 64, name=name)
    assert make_request(order, CATALOG, RULES).addresses[0].name == expected


@pytest.mark.parametrize("name", ["../c", "/c", "a\\c", ".."])
def test_name_outside_the_directory_is_rejected(name: str):
    order = DownloadOrder(url="https://h/a", sha256="0" * 64, name=name)
    with pytest.raises(Invalid) as refused:
        make_request(order, CATALOG, RULES)
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/name"]


def test_url_names_its_file():
    order = DownloadOrder(url="https://h/a/b.safetensors?x=/y", sha256="0" * 64)
    assert make_request(order, CATALOG, RULES).addresses[0].name == "b.safetensors"
    assert order.as_config() == {"url": "https://h/a/b.safetensors?x=/y", "sha256": "0" * 64}
