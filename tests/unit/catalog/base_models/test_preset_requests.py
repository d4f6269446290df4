import tomllib
from dataclasses import replace
from pathlib import Path

from api.catalog.base_models.preset_requests import find_variant, make_request
from api.domain.models.base_model import CatalogModel, Medium, MemoryNeed, ModelVariant, Origin, Precision, Preset
from tests.unit.catalog.builders import file, local, need, source

VARIANT = ModelVariant("a", "A", (need(source("vae/ae.safetensors"), known_as="vae-flux"),), settings={"shift": 3})
MODEL = CatalogModel(
    "z_image", "Z", Medium.IMAGE, (VARIANT,), MemoryNeed(None, None, "", Origin.REPORT), True, True, 28
)
PRESET = Preset("24gb", "z_image", "a", 24, "t", "s", {"dtype": "bfloat16"}, {"epochs": 3}, {"resolutions": [512]})


def make(*found, dataset: str | None = None):
    return make_request(PRESET, MODEL, VARIANT, local(*found), Path("/models"), "lumina2", dataset)


def test_request_has_the_paths_of_local_files():
    made = make(file("/m/ae.safetensors", "vae-flux"), dataset="/data")
    assert made.missing == ()
    assert made.request["config"]["model"] == {
        "type": "z_image", "vae": "/m/ae.safetensors", "shift": 3, "dtype": "bfloat16",
    }  # fmt: skip
    assert made.request["dataset"]["directories"] == [{"path": "/data", "num_repeats": 1}]


def test_missing_component_has_the_path_of_its_download():
    made = make()
    assert made.missing == ("vae",)
    assert made.request["config"]["model"]["vae"] == "/models/owner/Model/vae/ae.safetensors"


def test_data_are_a_directory_a_dataset_or_not_named_yet():
    assert make(dataset="cats@3").request["dataset"]["directories"] == [{"dataset": "cats@3", "num_repeats": 1}]
    assert make(dataset="/data").needs_dataset is False
    made = make()
    assert (made.request["dataset"]["directories"], made.needs_dataset) == ([{"num_repeats": 1}], True)
    assert tomllib.loads(made.dataset_toml)["directory"] == [{"num_repeats": 1}]


def test_configuration_files_match_the_request():
    made = make(dataset="/data")
    assert tomllib.loads(made.config_toml) == made.request["config"]
    assert tomllib.loads(made.dataset_toml) == {
        "resolutions": [512],
        "directory": [{"path": "/data", "num_repeats": 1}],
    }


def test_variant_is_found_by_name_and_else_the_first():
    assert find_variant(MODEL, ["a"]) is VARIANT
    assert find_variant(MODEL, ["nothing"]) is VARIANT


def test_preset_with_a_precision_uses_matching_files_only():
    preset = replace(PRESET, precisions={"vae": Precision.FP8})
    found = local(file("/m/ae.safetensors", "vae-flux", dtype="BF16"))
    made = make_request(preset, MODEL, VARIANT, found, Path("/models"), "lumina2")
    assert made.missing == ("vae",)
    found = local(file("/m/ae.safetensors", "vae-flux", dtype="F8_E4M3"))
    assert make_request(preset, MODEL, VARIANT, found, Path("/models"), "lumina2").missing == ()
