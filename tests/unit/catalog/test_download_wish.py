from pathlib import Path
from typing import Any

import pytest

from api.catalog.download_wish import DownloadOrder, DownloadRules, make_wish
from api.errors import Invalid, ModelNotFound, PicklesRefused
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
    ("given", "known"),
    [
        ({"model_id": "nothing"}, "models"),
        ({"model_id": "flux", "version": "x"}, "versions"),
        ({"model_id": "flux", "components": ("vae",)}, "components"),
    ],
)
def test_what_is_not_known_is_told_with_what_is(given: dict[str, Any], known: str):
    with pytest.raises(ModelNotFound) as found:
        make_wish(DownloadOrder(**given), CATALOG, RULES)
    assert found.value.data[known]


def test_what_is_published_as_a_pickle_is_refused_unless_those_are_allowed():
    with pytest.raises(PicklesRefused):
        make_wish(DownloadOrder(model_id="wan"), CATALOG, RULES)
    with pytest.raises(ModelNotFound, match="not known where"):
        make_wish(DownloadOrder(model_id="cosmos"), CATALOG, RULES)


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("https://h/a/b.bin?x=/y", None, "b.bin"),
        ("https://h/a", "c.bin", "c.bin"),
        ("https://h/..", None, "0" * 16 + ".download"),
    ],
)
def test_file_of_an_address_has_a_name_that_leads_nowhere(url: str, name: str | None, expected: str):
    order = DownloadOrder(url=url, sha256="0" * 64, name=name)
    assert make_wish(order, CATALOG, RULES).addresses[0].name == expected


@pytest.mark.parametrize("name", ["../c", "/c", "a\\c", ".."])
def test_name_that_leads_elsewhere_is_refused(name: str):
    order = DownloadOrder(url="https://h/a", sha256="0" * 64, name=name)
    with pytest.raises(Invalid) as refused:
        make_wish(order, CATALOG, RULES)
    assert [mistake.pointer for mistake in refused.value.mistakes] == ["/name"]


def test_address_gives_its_file_a_name():
    order = DownloadOrder(url="https://h/a/b.safetensors?x=/y", sha256="0" * 64)
    assert make_wish(order, CATALOG, RULES).addresses[0].name == "b.safetensors"
    assert order.as_config() == {"url": "https://h/a/b.safetensors?x=/y", "sha256": "0" * 64}
