"""Saved models that are linked into ComfyUI's directory, with their previews."""

import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open

from tests.api.client import failure_of
from tests.api.conftest import RUN_DIR, TRAINING, MakeWorld, World
from tests.api.test_training_samples import FILE, carry_out, sample, save_model
from tests.comfyui_server import ComfyServer, comfy_server

pytestmark = pytest.mark.usefixtures("shared_decoder")


@pytest.fixture
def comfy(tmp_path: Path) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path / "loras") as server:
        yield server


@pytest.fixture
def world(make_world: MakeWorld, comfy: ComfyServer) -> World:
    return make_world(comfyui_url=comfy.url, comfyui_loras=(comfy.loras,))


@pytest.fixture
def training(world: World) -> str:
    task_id = world.finish(name="My cats", trigger_word="ohwx cat")
    save_model(world, task_id, "epoch1", "first")
    save_model(world, task_id, "epoch2", "second")
    return task_id


def put(world: World, task_id: str, checkpoint: str = "epoch2", **body: Any) -> Any:
    return world.client.put(f"{TRAINING}/{task_id}/comfyui/{checkpoint}", json=body)


def linked(world: World, task_id: str) -> list[str]:
    found = world.client.data(f"{TRAINING}/{task_id}/comfyui")["links"]
    return [plain(each["file_name"]) for each in found]


def plain(name: str) -> str:
    """Return a name without the characters that make it unique."""
    return re.sub(r"-[0-9a-f]{8}(?=\.)", "", name)


def names(comfy: ComfyServer) -> list[str]:
    return sorted(plain(each.name) for each in comfy.loras.iterdir())


def link(world: World, comfy: ComfyServer, task_id: str, checkpoint: str = "epoch2") -> Path:
    answer = put(world, task_id, checkpoint)
    assert answer.status_code == 200, answer.text
    return comfy.loras / answer.json()["data"]["file_name"]


def facts(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is replaced or written, but not when it is read."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def rejection(answer: Any) -> tuple[int, str]:
    return answer.status_code, failure_of(answer)["error"]["code"]


def test_delivered_file_and_its_preview_are_linked_and_removed(world: World, training: str, comfy: ComfyServer):
    carry_out(world, sample(world, training)["task_id"])
    answer = put(world, training).json()["data"]
    file, picture = comfy.loras / answer["file_name"], comfy.loras / answer["preview"]
    assert (answer["checkpoint"], answer["url"]) == ("epoch2", comfy.url)
    assert names(comfy) == ["My-cats-epoch2.preview.png", "My-cats-epoch2.safetensors"]
    assert picture.name == f"{file.stem}.preview.png"
    download = world.client.get(f"{TRAINING}/{training}/artifacts/{RUN_DIR}/epoch2/{FILE}").content
    assert file.read_bytes() == download
    with safe_open(file, "np") as opened:
        assert opened.metadata()["modelspec.trigger_phrase"] == "ohwx cat"
    preview = world.client.get(f"{TRAINING}/{training}/comfyui/epoch2/preview")
    assert "filename=My-cats-epoch2.preview.png" in preview.headers["content-disposition"]
    assert preview.content == picture.read_bytes()
    assert Image.open(io.BytesIO(preview.content)).format == "PNG"
    assert file.name in comfy.describe("LoraLoader")["LoraLoader"]["input"]["required"]["lora_name"][0]
    seen = world.client.data(f"{TRAINING}/{training}/comfyui")
    assert (seen["urls"], seen["previews"], len(seen["links"])) == ([comfy.url], ["epoch2"], 1)
    assert put(world, training).status_code == 200
    assert world.client.delete(f"{TRAINING}/{training}/comfyui/epoch2").json()["data"]["links"] == []
    assert names(comfy) == []
    messages = [each["message"] for each in world.client.data(f"{TRAINING}/{training}/events")["events"]]
    assert messages[-2:] == [f"epoch2 was linked into ComfyUI as {file.name}", f"{file.name} was removed from ComfyUI"]
    audited = world.client.data("/api/v1/auth/audit")["entries"]
    assert [each["after"] for each in audited if "/comfyui/" in each["operation"]] == [
        {"comfyui": None},
        {"comfyui": file.name},
    ]


def test_linked_file_never_changes(world: World, training: str, comfy: ComfyServer):
    path = link(world, comfy, training)
    before = facts(path)
    world.client.patch(f"{TRAINING}/{training}", json={"trigger_word": "sks"})
    assert link(world, comfy, training) == path
    assert facts(path) == before
    # A resumed training has saved the epoch again.
    saved = world.output(training) / RUN_DIR / "epoch2" / FILE
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    again = link(world, comfy, training)
    assert (facts(path), again.read_bytes()[-1]) == (before, content[-1])
    # A new name of the training does not hide it.
    world.client.patch(f"{TRAINING}/{training}", json={"name": "Dogs"})
    assert linked(world, training) == ["My-cats-epoch2.safetensors"] * 2
    world.client.delete(f"{TRAINING}/{training}/comfyui/epoch2")
    assert names(comfy) == []


def test_name_of_a_link_does_not_depend_on_files_of_others(world: World, training: str, comfy: ComfyServer):
    other = world.finish(name="My cats")
    save_model(world, other, "epoch2", "second")
    first = link(world, comfy, training)
    first.unlink()
    (comfy.loras / "My-cats-epoch2.safetensors").write_bytes(b"mine")
    second = link(world, comfy, other)
    assert link(world, comfy, training) == first != second
    assert linked(world, training) == linked(world, other) == ["My-cats-epoch2.safetensors"]
    for task_id in (training, other):
        world.client.delete(f"{TRAINING}/{task_id}/comfyui/epoch2")
    assert [each.name for each in comfy.loras.iterdir()] == ["My-cats-epoch2.safetensors"]


@pytest.mark.parametrize("what", ["file", "link"])
def test_file_of_others_is_neither_replaced_followed_nor_removed(
    world: World, training: str, comfy: ComfyServer, tmp_path: Path, what: str
):
    carry_out(world, sample(world, training)["task_id"])
    path = link(world, comfy, training)
    picture = path.with_name(f"{path.stem}.preview.png")
    for each in (path, picture):
        each.unlink()
        each.write_bytes(b"mine")
    if what == "link":
        path.unlink()
        path.symlink_to(tmp_path / "elsewhere")
    assert rejection(put(world, training)) == (503, "unavailable")
    assert linked(world, training) == []
    if what == "link":
        path.unlink()
        assert put(world, training).json()["data"]["preview"] is None
    world.client.delete(f"{TRAINING}/{training}/comfyui/epoch2")
    assert picture.read_bytes() == b"mine"
    assert (path.exists(), (tmp_path / "elsewhere").exists()) == (what == "file", False)


def test_model_is_not_unlinked_from_an_absent_directory(world: World, training: str, comfy: ComfyServer):
    assert put(world, training).status_code == 200
    comfy.loras.rename(comfy.loras.with_name("away"))
    answer = world.client.delete(f"{TRAINING}/{training}/comfyui/epoch2")
    assert rejection(answer) == (503, "unavailable")
    comfy.loras.with_name("away").rename(comfy.loras)
    assert linked(world, training) == ["My-cats-epoch2.safetensors"]


def remove_links(world: World) -> None:
    world.runtime.services.samples.links.linked.run_once()


def test_links_of_a_deleted_training_go_with_its_files(world: World, training: str, comfy: ComfyServer):
    carry_out(world, sample(world, training)["task_id"])
    other = world.finish(name="Dogs")
    save_model(world, other, "epoch1", "other")
    first, second, others = (
        link(world, comfy, *each) for each in ((training, "epoch1"), (training, "epoch2"), (other, "epoch1"))
    )
    shutil.copy(second, comfy.loras / "favourite.safetensors")
    first.unlink()
    first.write_bytes(b"mine")
    assert world.client.delete(f"{TRAINING}/{training}?files=true").status_code == 200
    remove_links(world)
    stays = {"Dogs-epoch1.safetensors", "My-cats-epoch1.safetensors", "favourite.safetensors"}
    assert stays <= set(names(comfy)) <= {*stays, "My-cats-epoch1.preview.png"}
    # Its files stay, and so does its link.
    assert world.client.delete(f"{TRAINING}/{other}").status_code == 200
    remove_links(world)
    assert others.exists()


def test_links_of_models_that_a_rule_deletes_go_with_them(world: World, training: str, comfy: ComfyServer):
    for name in ("epoch1", "epoch2"):
        put(world, training, name)
    assert world.client.put(f"{TRAINING}/{training}/retention", json={"keep_last": 1}).status_code == 200
    remove_links(world)
    assert names(comfy) == ["My-cats-epoch2.safetensors"]


def test_link_of_a_model_that_was_saved_again_stays(world: World, training: str, comfy: ComfyServer):
    put(world, training, "epoch1")
    world.client.put(f"{TRAINING}/{training}/retention", json={"keep_last": 1})
    save_model(world, training, "epoch1", "again")
    remove_links(world)
    assert names(comfy) == ["My-cats-epoch1.safetensors"]


@pytest.mark.parametrize("how", ["absent", "read-only", "replaced"])
def test_directory_that_fails_does_not_block_a_deletion(
    world: World, training: str, comfy: ComfyServer, how: str, monkeypatch: pytest.MonkeyPatch
):
    put(world, training)
    away, unlink = comfy.loras.with_name("away"), Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.parent == comfy.loras:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        unlink(path, missing_ok)

    if how == "read-only":
        monkeypatch.setattr(Path, "unlink", refuse)
    else:
        comfy.loras.rename(away)
    if how == "replaced":
        comfy.loras.write_text("no directory")
    assert world.client.delete(f"{TRAINING}/{training}?files=true").status_code == 200
    remove_links(world)
    monkeypatch.setattr(Path, "unlink", unlink)
    if how != "read-only":
        comfy.loras.unlink(missing_ok=True)
        away.rename(comfy.loras)
    assert names(comfy) == ["My-cats-epoch2.safetensors"]
    remove_links(world)
    assert names(comfy) == []


def test_links_stay_while_the_storage_is_away(world: World, training: str, comfy: ComfyServer):
    put(world, training)
    linked = world.runtime.services.samples.links.linked
    world.storage.rename(world.storage.with_name("moved"))
    linked.remove_soon(training)
    linked.run_once()
    assert names(comfy) == ["My-cats-epoch2.safetensors"]
    world.storage.with_name("moved").rename(world.storage)
    linked.run_once()
    assert names(comfy) == ["My-cats-epoch2.safetensors"]


def test_copy_that_somebody_made_under_another_name_stays(world: World, training: str, comfy: ComfyServer):
    shutil.copy(link(world, comfy, training), comfy.loras / "favourite.safetensors")
    assert linked(world, training) == ["My-cats-epoch2.safetensors"]
    assert world.client.delete(f"{TRAINING}/{training}/comfyui/epoch2").status_code == 200
    assert names(comfy) == ["favourite.safetensors"]


def test_what_a_killed_server_left_is_replaced(world: World, training: str, comfy: ComfyServer):
    path = link(world, comfy, training)
    path.rename(path.with_name(f".{path.name}.0123abcd.part"))
    assert link(world, comfy, training) == path
    assert names(comfy) == ["My-cats-epoch2.safetensors"]


def test_mistakes_are_explained(world: World, training: str, comfy: ComfyServer):
    for name in ("epoch9", "global_step1", "..", "%2e%2e%2fepoch2"):
        assert put(world, training, name).status_code in (404, 405)
    assert rejection(put(world, "train_20260101_00000000")) == (404, "task_not_found")
    assert put(world, training, url="http://127.0.0.1:1").status_code == 422
    assert put(world, training, url=5).status_code == 422
    assert rejection(world.client.get(f"{TRAINING}/{training}/comfyui/epoch2/preview")) == (
        404,
        "no_picture",
    )
    (world.output(training) / RUN_DIR / "epoch2" / FILE).write_bytes(b"half")
    assert rejection(put(world, training)) == (409, "checkpoint_incomplete")
    comfy.loras.rename(comfy.loras.with_name("gone"))
    assert rejection(put(world, training, "epoch1")) == (503, "unavailable")


def test_service_without_comfyui_says_what_to_set(make_world: MakeWorld):
    world = make_world()
    task_id = world.finish()
    save_model(world, task_id, "epoch1")
    assert rejection(put(world, task_id, "epoch1")) == (409, "sampling_unavailable")
    assert world.client.data(f"{TRAINING}/{task_id}/comfyui") == {"links": [], "urls": [], "previews": []}
