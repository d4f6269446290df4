"""Samples of versions: uploaded as a form or in parts, shown, deleted and pushed."""

import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from PIL import Image

from api.datasets.records.upload_store import UploadStore
from api.errors import DatabaseUnavailable
from tests.api.conftest import World
from tests.api.test_model_uploads import LORA
from tests.api.test_registry import ARTIFACT, REGISTRY
from tests.api.uploads import Uploads, picture
from tests.media import clip
from tests.unit.files.weights.stand_ins import header_bytes, write_stand_in

SAMPLES = f"{REGISTRY}/cats/versions/1/samples"

pytestmark = pytest.mark.usefixtures("shared_decoder")


@pytest.fixture
def cats(world: World) -> World:
    """Version 1 of cats."""
    task = world.finish()
    write_stand_in(world.output(task) / ARTIFACT, LORA)
    made = world.client.post(REGISTRY, json={"task_id": task, "artifact": ARTIFACT, "name": "cats"})
    assert made.status_code == 201, made.text
    return world


@pytest.fixture
def uploads(cats: World) -> Uploads:
    return Uploads(cats)


def post(world: World, content: bytes, filename: str = "x.png", to: str = SAMPLES, **fields: str) -> Any:
    return world.client.post(to, files={"file": (filename, content)}, data=fields)


def add(world: World, content: bytes | None = None, **fields: str) -> dict[str, Any]:
    made = post(world, picture() if content is None else content, **fields)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == made.json()["data"]["file"]
    found: dict[str, Any] = made.json()["data"]
    return found


def listed(world: World, to: str = SAMPLES) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.client.data(to)["samples"]
    return found


def send(uploads: Uploads, content: bytes, **metadata: str) -> dict[str, Any]:
    reported = {"kind": "sample", "name": "cats", "version": "1", "filename": "x.png", "dataset": "", **metadata}
    return uploads.taken(content, **reported)


def test_picture_is_stored_with_its_settings(cats: World):
    content = picture(64, 48)
    made = add(cats, content, prompt="a cat, sitting", seed="18446744073709551615", step="500")
    assert (made["kind"], made["width"], made["height"], made["version"]) == ("image", 64, 48, 1)
    assert (made["prompt"], made["seed"], made["step"]) == ("a cat, sitting", "18446744073709551615", 500)
    assert made["file_name"].startswith("cats-v1-step500-")
    assert listed(cats) == [made]
    assert cats.client.data(f"{REGISTRY}/cats/versions/1")["samples"] == 1
    assert cats.client.data(f"{REGISTRY}/cats/versions")["versions"][0]["samples"] == 1


def test_sample_file_supports_ranges_and_has_its_media_type(cats: World):
    content = picture(64, 48)
    made = add(cats, content, filename="x.html")
    whole = cats.client.get(made["file"])
    assert (whole.content, whole.headers["content-type"]) == (content, "image/png")
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = cats.client.get(made["file"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    small = cats.client.get(f"{made['thumbnail']}?size=128")
    assert Image.open(io.BytesIO(small.content)).format == "JPEG"
    again = cats.client.get(f"{made['thumbnail']}?size=128", headers={"If-None-Match": small.headers["etag"]})
    assert again.status_code == 304


def test_a_clip_is_a_sample_too(cats: World, tmp_path: Path):
    made = add(cats, clip(tmp_path / "x.mp4").read_bytes(), filename="x.mp4")
    assert (made["kind"], made["frame_count"], made["fps"]) == ("video", 30, 30.0)
    assert cats.client.get(made["file"]).headers["content-type"] == "video/mp4"


def bitmap() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 6)).save(buffer, "BMP")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "answer_text"),
    [
        (b"<svg onload=alert(1)>", "cannot be shown"),
        (b"<!DOCTYPE html>", "cannot be shown"),
        (picture(64, 48)[:-30], "cannot be shown"),
        (bitmap(), "The file is bmp. Send one of png"),
    ],
)
def test_format_that_browsers_do_not_show_is_rejected(cats: World, content: bytes, answer_text: str):
    refused = post(cats, content)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "sample_refused")
    assert answer_text in refused.json()["error"]["detail"]
    assert listed(cats) == []


def test_all_mistakes_of_a_form_are_returned(cats: World):
    refused = post(cats, b"", seed="x", step="-1", colour="red")
    pointers = {each["pointer"] for each in refused.json()["error"]["errors"]}
    assert (refused.status_code, pointers) == (422, {"/seed", "/step", "/colour", "/file"})


def test_number_of_samples_per_version_is_limited(cats: World):
    with patch("api.catalog.registry.sample_store.MOST_SAMPLES", 2):
        add(cats)
        add(cats)
        refused = post(cats, picture())
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_many_samples")


def test_too_large_file_is_rejected_before_it_is_sent(cats: World):
    head = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(66 * 1024 * 1024)}
    refused = cats.client.ask("POST", SAMPLES, headers=head, content=b"x")
    assert refused.status_code == 413


def test_an_unknown_version_or_sample_is_404(cats: World):
    assert post(cats, picture(), to=f"{REGISTRY}/cats/versions/7/samples").status_code == 404
    assert post(cats, picture(), to=f"{REGISTRY}/dogs/versions/1/samples").status_code == 404
    for what in ("/file", "/thumbnail"):
        assert cats.client.get(f"{SAMPLES}/{'0' * 32}{what}").json()["error"]["code"] == "sample_not_found"
    assert cats.client.delete(f"{SAMPLES}/x").status_code == 404


def test_deleted_sample_frees_its_bytes(cats: World):
    first, second = add(cats, picture(color=1)), add(cats, picture(color=2))
    assert cats.client.delete(first["file"].removesuffix("/file")).status_code == 200
    assert [each["sample_id"] for each in listed(cats)] == [second["sample_id"]]
    parts = cats.runtime.library.registry
    parts.service.collect(0)
    parts.service.collect(0)
    assert (parts.blobs.has(first["sha256"]), parts.blobs.has(second["sha256"])) == (False, True)
    assert cats.client.delete(f"{REGISTRY}/cats").status_code == 200
    parts.service.collect(0)
    parts.service.collect(0)
    assert not parts.blobs.has(second["sha256"])


def test_a_copy_with_metadata_has_the_samples_of_its_original(cats: World):
    made = add(cats, prompt="a cat")
    assert cats.client.post(f"{REGISTRY}/cats/versions/1/metadata", json={}).status_code == 201
    (copy,) = listed(cats, f"{REGISTRY}/cats/versions/2/samples")
    assert (copy["sha256"], copy["prompt"], copy["version"]) == (made["sha256"], "a cat", 2)
    assert cats.client.delete(f"{REGISTRY}/cats/versions/1").status_code == 200
    assert cats.client.get(copy["file"]).status_code == 200


def test_an_upload_in_parts_becomes_a_sample_once(uploads: Uploads):
    content = picture(64, 48)
    done = send(uploads, content, prompt="a cat", seed="7", step="20")
    assert (done["status"], done["result"]["model"], done["result"]["version"]) == ("completed", "cats", 1)
    (made,) = listed(uploads.world)
    assert (made["prompt"], made["seed"], made["step"], made["sample_id"]) == ("a cat", "7", 20, done["upload_id"])
    assert send(uploads, b"nothing")["problem"]["code"] == "sample_refused"


def test_upload_with_a_lost_result_makes_no_second_sample(uploads: Uploads):
    reported = {"kind": "sample", "name": "cats", "version": "1", "filename": "x.png", "dataset": ""}
    url = uploads.upload(picture(), **reported)
    intake = uploads.world.runtime.library.uploads.intake
    with patch.object(UploadStore, "complete", side_effect=DatabaseUnavailable):
        intake.process_models()
    intake._pauses.clear()
    uploads.take()
    assert uploads.get(url)["status"] == "completed"
    assert len(listed(uploads.world)) == 1


@pytest.mark.parametrize(
    ("metadata", "pointer"),
    [
        ({"name": "../x"}, "name"),
        ({"version": "prod"}, "version"),
        ({"seed": "x"}, "seed"),
        ({"step": "99999999999"}, "step"),
        ({"prompt": "x" * 4001}, "prompt"),
    ],
)
def test_invalid_metadata_is_rejected_before_the_upload(uploads: Uploads, metadata: dict[str, str], pointer: str):
    refused = uploads.begin(9, **{"kind": "sample", "name": "cats", "version": "1", **metadata})
    assert refused.status_code == 422
    assert f"/Upload-Metadata/{pointer}" in [each["pointer"] for each in refused.json()["error"]["errors"]]


def test_push_includes_the_samples(cats: World, tmp_path: Path):
    made = add(cats, prompt="a *cat*")
    add(cats, clip(tmp_path / "x.mp4").read_bytes(), filename="x.mp4", prompt='a "dog"')
    started = cats.client.post(f"{REGISTRY}/cats/versions/1/push", json={"repository": "ann/cats"})
    output = cats.storage / "tasks" / started.json()["data"]["push_id"] / "output"
    files = json.loads((output / "wish.json").read_text())["files"]
    names = [file["path"] for file in files]
    assert names[0].endswith(".safetensors")
    assert [name.split("/")[0] for name in names[1:3]] == ["samples", "samples"]
    assert (output / files[1]["local"]).read_bytes() == cats.client.get(made["file"]).content
    card = (output / "README.md").read_text()
    assert json.dumps({"text": "a *cat*", "output": {"url": names[1]}}) in card
    assert f"![a \\*cat\\*](<{names[1]}>)" in card
    assert f'<video controls src="{names[2]}" title="a &quot;dog&quot;"></video>' in card
    without = cats.client.post(f"{REGISTRY}/cats/versions/1/push", json={"repository": "ann/cats", "samples": False})
    output = cats.storage / "tasks" / without.json()["data"]["push_id"] / "output"
    assert len(json.loads((output / "wish.json").read_text())["files"]) == 2


def test_model_is_uploaded_as_a_form(uploads: Uploads):
    start, size = header_bytes(LORA)
    content, form = start + bytes(size), "/api/v1/models/upload"
    made = post(uploads.world, content, "C:\\x\\dogs.safetensors", form, name="dogs", model_type="flux")
    assert (made.status_code, made.json()["data"]["status"]) == (202, "received")
    uploads.take()
    done = uploads.get(made.headers["location"])
    assert (done["status"], done["result"]["model"], done["result"]["version"]) == ("completed", "dogs", 1)
    version = uploads.world.client.data(f"{REGISTRY}/dogs/versions/1")
    assert (version["origin"]["file"], version["format"]["kind"]) == ("dogs.safetensors", "lora")
    assert uploads.world.client.get(version["download"]).content == content
    for sha256 in ("x", ""):
        refused = post(uploads.world, b"", "x", form, name="a/b", sha256=sha256)
        assert {each["pointer"] for each in refused.json()["error"]["errors"]} == {"/name", "/sha256", "/file"}
    wrong = post(uploads.world, content, "x", form, name="dogs", model_type="flux", component="llm_path")
    assert [each["pointer"] for each in wrong.json()["error"]["errors"]] == ["/component"]
