from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from api.domain.tasks.measured_memory import MemoryFacts, MemoryRun
from api.training.measured_memory import store_memory_run
from tests.api.conftest import MakeWorld
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, make_images, make_root

MODELS = "/api/v1/models"


def test_models_are_listed_with_their_local_files(make_world: MakeWorld, tmp_path: Path):
    client = make_world(models_directories=(tmp_path / "comfy",)).client
    assert len(client.data(f"{MODELS}/list")["models"]) == 24
    checkpoint = write_stand_in(tmp_path / "comfy" / "checkpoints" / "xl.safetensors", STAND_INS["sdxl"])
    models = {model["id"]: model for model in client.data(f"{MODELS}/list")["models"]}
    assert models["sdxl"]["ready"]
    assert models["sdxl"]["components"][0]["path"] == str(checkpoint)
    page = client.data(f"{MODELS}/list?limit=2&offset=23")
    assert (len(page["models"]), page["pagination"]["has_more"]) == (1, False)


def test_preset_is_a_valid_request_for_a_training(make_world: MakeWorld):
    client = make_world().client
    found = client.data(f"{MODELS}/qwen_image/presets?dataset=/srv/photos")["presets"]
    assert [preset["name"] for preset in found] == ["24gb"]
    preset = client.data(f"{MODELS}/qwen_image/presets/24gb?dataset=/srv/photos")
    assert preset["request"] == found[0]["request"]
    checked = client.post("/api/v1/training/validate", json=preset["request"])
    assert checked.status_code == 200
    pointers = {mistake["pointer"] for mistake in checked.json()["data"]["errors"]}
    assert {"/config/model/transformer_path", "/dataset/directories/0/path"} <= pointers


def test_file_is_recognised_by_its_content(make_world: MakeWorld, tmp_path: Path):
    client = make_world().client
    path = write_stand_in(tmp_path / "model.bin", STAND_INS["vae-flux2"])
    body = {"path": str(path.rename(tmp_path / "model.safetensors")), "model_id": "flux2", "key": "vae"}
    found = client.post(f"{MODELS}/validate", json=body).json()["data"]
    assert (found["component"], found["is_whole"], found["fits"]) == ("vae-flux2", True, True)
    assert {"model_id": "ideogram4", "key": "vae"} in found["places"]


def test_examined_file_has_the_findings_of_the_training_check(make_world: MakeWorld, tmp_path: Path):
    client = make_world(diffusion_pipe_root=make_root(tmp_path), diffusion_pipe_python=PYTHON).client
    path = write_stand_in(tmp_path / "ae.bin", STAND_INS["vae-flux"])
    result = client.post(f"{MODELS}/validate", json={"path": str(path), "model_id": "z_image", "key": "vae"})
    found = result.json()["data"]
    assert (found["fits"], [each["pointer"] for each in found["errors"]]) == (False, ["/config/model/vae"])
    config = {"model": {"type": "z_image", "dtype": "bfloat16", "vae": str(path)}}
    request = {"model_type": "z_image", "config": config, "dataset": {}}
    errors = client.post("/api/v1/training/validate", json=request).json()["data"]["errors"]
    assert [each for each in errors if each["pointer"] == "/config/model/vae"] == found["errors"]
    unknown = write_stand_in(tmp_path / "x.safetensors", {"w": [4]})
    result = client.post(f"{MODELS}/validate", json={"path": str(unknown), "model_id": "z_image", "key": "vae"})
    assert (result.json()["data"]["fits"], len(result.json()["data"]["warnings"])) == (None, 1)


def test_missing_models_and_files_are_404(make_world: MakeWorld):
    client = make_world().client
    assert client.post(f"{MODELS}/validate", json={"path": "/nowhere/x"}).json()["error"]["code"] == "weights_not_found"
    assert client.get(f"{MODELS}/nothing/presets").json()["error"]["code"] == "model_not_found"
    assert client.get(f"{MODELS}/flux/presets/nothing").json()["error"]["code"] == "preset_not_found"
    assert client.post(f"{MODELS}/validate", json={"path": "/x", "key": "vae"}).status_code == 422


def test_examining_files_needs_a_permission(make_world: MakeWorld):
    world = make_world(auth="required")
    viewer = world.signed_in("vera", "viewer").client
    assert viewer.get(f"{MODELS}/list").status_code == 200
    assert viewer.post(f"{MODELS}/validate", json={"path": "/x"}).status_code == 403


def test_every_key_of_a_model_type_is_described(make_world: MakeWorld):
    client = make_world().client
    tables = client.data(f"{MODELS}/wan/settings")["tables"]
    assert [(table["file"], table["name"]) for table in tables] == [
        ("config", ""),
        ("config", "model"),
        ("config", "adapter"),
        ("config", "optimizer"),
        ("config", "monitoring"),
        ("dataset", ""),
        ("dataset", "directory"),
    ]
    assert all(setting["help"] for table in tables for setting in table["settings"])
    assert client.get(f"{MODELS}/nothing/settings").json()["error"]["code"] == "model_not_found"


def test_configuration_has_two_forms(make_world: MakeWorld):
    client = make_world().client
    text = "epochs = 2 # few\n"
    found = client.post(f"{MODELS}/flux/convert", json={"config_toml": text}).json()["data"]
    assert found == {"config": {"epochs": 2}, "config_toml": text, "dataset": None, "dataset_toml": None}
    refused = client.post(f"{MODELS}/flux/convert", json={"config_toml": "epochs ="})
    assert (refused.status_code, refused.json()["error"]["errors"][0]["pointer"]) == (422, "/config_toml")
    both = {"config": {}, "config_toml": ""}
    assert client.post(f"{MODELS}/flux/convert", json=both).status_code == 422


def test_measured_memory_replaces_the_estimate(make_world: MakeWorld, tmp_path: Path):
    stand_ins = {"transformer_path": "qwen-image", "text_encoder_path": "qwen-2.5-vl-7b", "vae_path": "vae-qwen-image"}
    for key, name in stand_ins.items():
        write_stand_in(tmp_path / "models" / f"{key}.safetensors", STAND_INS[name])
    make_root(tmp_path)
    world = make_world(
        models_directories=(tmp_path / "models",),
        diffusion_pipe_root=tmp_path / "trainer",
        diffusion_pipe_python=PYTHON,
    )
    images = make_images(tmp_path / "images")
    request = world.client.data(f"{MODELS}/qwen_image/presets/24gb?dataset={images}")["request"]

    def planned() -> dict[str, Any]:
        found = world.client.post("/api/v1/training/validate", json=request).json()["data"]
        assert found["errors"] == []
        return dict(found["plan"])

    before = planned()
    assert (before["memory"]["origin"], before["estimated_memory_mb"]) == ("estimated", 22_560)
    facts = TypeAdapter(MemoryFacts).validate_python(before["memory"]["facts"])
    with world.runtime.database.write() as connection:
        for number, peak in enumerate((21_000, 21_914, 20_000)):
            store_memory_run(connection, f"t{number}/1", MemoryRun(facts, peak), 0.0)
    after = planned()
    assert (after["memory"]["origin"], after["memory"]["runs"], after["memory"]["most_mb"]) == ("measured", 3, 21_914)
    assert after["estimated_memory_mb"] == 21_914
    assert after["memory_basis"] == "measured in 3 runs here with the same settings: at most 21.4 GB."
    preset = world.client.data(f"{MODELS}/qwen_image/presets/24gb?dataset={images}")
    assert (preset["memory"]["runs"], preset["memory"]["most_mb"]) == (3, 21_914)
    assert world.client.data(f"{MODELS}/wan/presets")["presets"][0]["memory"] is None
