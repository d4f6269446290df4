"""The models that people download: tensors of the trainer, metadata for other programs."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.api.conftest import RUN_DIR, TRAINING, World
from tests.unit.files.weights.stand_ins import write_stand_in

MODEL = f"{RUN_DIR}/epoch2/adapter_model.safetensors"
LORA = {"diffusion_model.blocks.0.q.lora_A.weight": [16, 64], "diffusion_model.blocks.0.q.lora_B.weight": [64, 16]}


@pytest.fixture
def task(world: World) -> str:
    task_id = world.finish(name="My cats", trigger_word="ohwx cat", tags=["cats", "photo"])
    write_stand_in(world.output(task_id) / MODEL, LORA, "BF16", {"format": "pt", "ss_network_dim": "its own"})
    return task_id


def delivered(world: World, task: str, query: str = "", **headers: str) -> Any:
    return world.client.get(f"{TRAINING}/{task}/artifacts/{MODEL}{query}", headers=headers)


def metadata_in(content: bytes, tmp_path: Path) -> dict[str, str]:
    """Return the metadata as other programs read it."""
    (tmp_path / "model.safetensors").write_bytes(content)
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert set(file.keys()) == set(LORA)
        found: dict[str, str] = file.metadata()
        return found


def test_downloaded_model_says_what_it_is(world: World, task: str, tmp_path: Path):
    answer = delivered(world, task)
    assert 'filename="My-cats-epoch2.safetensors"' in answer.headers["content-disposition"]
    assert len(answer.content) == int(answer.headers["content-length"])
    found = metadata_in(answer.content, tmp_path)
    expected = {
        "format": "pt",
        "modelspec.title": "My cats epoch2",
        "modelspec.trigger_phrase": "ohwx cat",
        "modelspec.architecture": "toy/lora",
        "modelspec.tags": "cats, photo",
        "ss_output_name": "My-cats-epoch2",
        "ss_base_model_version": "toy",
        "ss_network_dim": "its own",
        "ss_network_alpha": "16",
        "ss_epoch": "2",
        "ss_training_comment": "trigger word: ohwx cat",
        "diffusion_pipe.task_id": task,
    }
    assert found | expected == found
    assert not {"ss_steps", "modelspec.license", "ss_sd_model_name", "modelspec.resolution"} & set(found)


def test_tensors_are_those_of_the_trainer_and_its_file_stays(world: World, task: str, tmp_path: Path):
    source = (world.output(task) / MODEL).read_bytes()
    answer = delivered(world, task)
    start = 8 + int.from_bytes(source[:8], "little")
    tensors = source[start:]
    assert answer.content.endswith(tensors)
    assert (8 + int.from_bytes(answer.content[:8], "little")) + len(tensors) == len(answer.content)
    digest = hashlib.sha256(tensors).hexdigest()
    assert metadata_in(answer.content, tmp_path)["modelspec.hash_sha256"] == f"0x{digest}"
    assert (world.output(task) / MODEL).read_bytes() == source
    assert delivered(world, task, "?raw=true").content == source


def test_interrupted_download_of_a_model_continues(world: World, task: str):
    whole = delivered(world, task)
    etag, content = whole.headers["etag"], whole.content
    for cut in (3, 500, len(content) - 7):
        part = delivered(world, task, Range=f"bytes={cut}-", **{"If-Range": etag})
        assert (part.status_code, part.content) == (206, content[cut:])
    assert delivered(world, task, **{"If-None-Match": etag}).status_code == 304
    # Another trigger word makes another file.
    assert (
        world.client.patch(f"{TRAINING}/{task}", json={"trigger_word": "sks"}).json()["data"]["trigger_word"] == "sks"
    )
    other = delivered(world, task, Range="bytes=9-", **{"If-Range": etag})
    assert other.status_code == 200
    assert b'"modelspec.trigger_phrase":"sks"' in other.content


def test_name_of_a_model_may_have_any_letters(world: World, task: str):
    world.client.patch(f"{TRAINING}/{task}", json={"name": "我的猫"})
    shown = delivered(world, task).headers["content-disposition"]
    assert shown == "attachment; filename*=utf-8''%E6%88%91%E7%9A%84%E7%8C%AB-epoch2.safetensors"


def test_library_stores_the_model_with_its_metadata(world: World, task: str, tmp_path: Path):
    body = {"task_id": task, "artifact": MODEL, "name": "cats"}
    made = world.client.post("/api/v1/models/registry", json=body).json()["data"]
    content = world.client.get(made["download"]).content
    assert content == delivered(world, task).content
    assert made["format"]["metadata"]["modelspec.trigger_phrase"] == "ohwx cat"
    assert json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["format"] == "pt"


def test_trigger_word_that_only_preprocessing_knows_is_delivered(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(world.runtime.services.training.files, "_find_trigger", lambda datasets: "zwx")
    task = world.finish()
    write_stand_in(world.output(task) / MODEL, LORA, "BF16")
    assert metadata_in(delivered(world, task).content, tmp_path)["modelspec.trigger_phrase"] == "zwx"
    body = {"task_id": task, "artifact": MODEL, "name": "cats"}
    made = world.client.post("/api/v1/models/registry", json=body).json()["data"]
    assert made["format"]["metadata"]["modelspec.trigger_phrase"] == "zwx"
