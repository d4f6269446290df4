from pathlib import Path
from typing import Any

import pytest

from api.errors import Invalid
from api.services.catalog.download_wish import DownloadOrder, DownloadRules, make_wish
from api.trainers.diffusion_pipe.catalog.table import CATALOG

RULES = DownloadRules(Path("/models"), "https://hub", (), False, 0)


def test_model_is_the_first_source_of_each_component():
    wish = make_wish(DownloadOrder(model_id="qwen_image"), CATALOG, RULES)
    assert [each.repository for each in wish.repositories] == [
        "Comfy-Org/Qwen-Image_ComfyUI",
        "Comfy-Org/Qwen-Image_ComfyUI",
        "Qwen/Qwen-Image",
    ]
    assert wish.repositories[2].include == ("vae/diffusion_pytorch_model.safetensors",)


def test_directory_comes_without_what_the_trainer_does_not_open():
    wish = make_wish(DownloadOrder(model_id="flux", components=("diffusers_path",)), CATALOG, RULES)
    (only,) = wish.repositories
    assert (only.include, "transformer/*" in only.exclude) == ((), True)


def test_every_variant_can_be_ordered_where_pickles_are_allowed():
    rules = DownloadRules(Path("/models"), "https://hub", (), True, 0)
    for model in CATALOG.values():
        for variant in model.variants:
            components = tuple(need.key for need in variant.components if need.sources)
            order = DownloadOrder(model_id=model.model_type, version=variant.name, components=components)
            assert make_wish(order, CATALOG, rules).repositories


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"model_id": "nothing"}, "/model_id"),
        ({"model_id": "flux", "version": "x"}, "/version"),
        ({"model_id": "flux", "components": ("vae",)}, "/components"),
        ({"model_id": "wan"}, "/components"),
        ({"model_id": "cosmos"}, "/components"),
        ({"url": "https://h/..", "sha256": "0" * 64}, "/name"),
        ({"url": "https://h/a", "sha256": "0" * 64, "name": "../a"}, "/name"),
    ],
)
def test_order_that_cannot_be_carried_out_is_a_mistake(given: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as found:
        make_wish(DownloadOrder(**given), CATALOG, RULES)
    assert [mistake.pointer for mistake in found.value.mistakes] == [pointer]


def test_address_gives_its_file_a_name():
    order = DownloadOrder(url="https://h/a/b.safetensors?x=/y", sha256="0" * 64)
    assert make_wish(order, CATALOG, RULES).addresses[0].name == "b.safetensors"
    assert order.as_config() == {"url": "https://h/a/b.safetensors?x=/y", "sha256": "0" * 64}
