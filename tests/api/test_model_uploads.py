import hashlib
import json
import pickle
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from api.datasets.records.upload_store import UploadStore
from api.domain.access.principal import Permission
from api.errors import DatabaseUnavailable
from tests.api.conftest import MakeWorld, World
from tests.api.uploads import UPLOADS, Uploads
from tests.unit.files.weights.stand_ins import STAND_INS, header_bytes

REGISTRY = "/api/v1/models/registry"
VALIDATE = "/api/v1/models/validate"
LORA = {"diffusion_model.blocks.0.q.lora_A.weight": [16, 64], "diffusion_model.blocks.0.q.lora_B.weight": [64, 16]}


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(world)


def weights(shapes: Any = LORA) -> bytes:
    start, size = header_bytes(shapes)
    return start + bytes(size)


def send(uploads: Uploads, content: bytes, **metadata: str) -> dict[str, Any]:
    reported = {"kind": "model", "name": "cats", "filename": "cats.safetensors", "dataset": "", **metadata}
    return uploads.taken(content, **reported)


def test_upload_becomes_a_version(uploads: Uploads):
    content = weights()
    done = send(uploads, content, sha256=hashlib.sha256(content).hexdigest(), model_type="flux")
    assert (done["status"], done["result"]["model"], done["result"]["version"]) == ("completed", "cats", 1)
    assert done["result"]["dataset"] is None
    made = uploads.world.client.data(f"{REGISTRY}/cats/versions/1")
    assert (made["format"]["kind"], made["format"]["base_model"], made["file_name"]) == (
        "lora", "flux", "cats-v1.safetensors",
    )  # fmt: skip
    assert made["origin"] | {"file": "cats.safetensors", "upload_id": done["upload_id"]} == made["origin"]
    assert uploads.world.client.get(f"{REGISTRY}/cats/versions/1/file").content == content
    assert uploads.world.client.data("/api/v1/datasets")["datasets"] == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (weights()[:-1], "is cut off|is shorter|byte"),
        (b"version https://git-lfs.github.com/spec/v1\noid x", "Git LFS"),
        (b"<!DOCTYPE html><title>Sign in</title>", "is a web page"),
        (b"GGUF" + bytes(60), "GGUF"),
        (pickle.dumps({"w": 1}), "can hold code"),
        (b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(18), "can hold code"),
        (b"nothing", "not a safetensors"),
    ],
)
def test_file_that_is_not_a_model_is_rejected_with_the_reason(uploads: Uploads, content: bytes, text: str):
    failed = send(uploads, content)
    assert (failed["status"], failed["problem"]["code"]) == ("failed", "weights_refused")
    assert any(word in failed["problem"]["message"] for word in text.split("|"))
    assert uploads.world.client.get(f"{REGISTRY}/cats").status_code == 404


def test_pickle_is_accepted_only_with_its_hash(uploads: Uploads):
    content = pickle.dumps({"w": 1})
    other = send(uploads, content, filename="cats.pth", sha256="0" * 64)
    assert (other["status"], other["problem"]["code"]) == ("failed", "checksum_mismatch")
    send(uploads, content, filename="cats.pth", sha256=hashlib.sha256(content).hexdigest())
    made = uploads.world.client.data(f"{REGISTRY}/cats/versions/1")
    assert (made["file_name"], made["format"]["kind"]) == ("cats-v1.pth", None)


def test_file_for_another_slot_is_rejected_with_both_names(uploads: Uploads):
    vae = weights({name: [1] if len(shape) == 1 else shape for name, shape in STAND_INS["vae-flux"].items()})
    failed = send(uploads, vae, model_type="flux", component="transformer_path")
    assert failed["problem"]["code"] == "weights_refused"
    assert "but transformer_path of flux needs" in failed["problem"]["message"]
    assert send(uploads, vae, model_type="z_image", component="vae")["status"] == "completed"


@pytest.mark.parametrize(
    ("metadata", "pointer"),
    [
        ({"name": "../x"}, "/Upload-Metadata/name"),
        ({"name": ""}, "/Upload-Metadata/name"),
        ({"sha256": "XYZ"}, "/Upload-Metadata/sha256"),
        ({"sha256": ""}, "/Upload-Metadata/sha256"),
        ({"model_type": "nonsense"}, "/Upload-Metadata/model_type"),
        ({"model_type": "flux", "component": "llm_path"}, "/Upload-Metadata/component"),
        ({"filename": "../../etc/passwd"}, "/Upload-Metadata/filename"),
        ({"kind": "other"}, "/Upload-Metadata/kind"),
    ],
)
def test_invalid_metadata_is_rejected_before_the_upload(uploads: Uploads, metadata: dict[str, str], pointer: str):
    refused = uploads.begin(9, **{"kind": "model", "name": "cats", **metadata})
    assert refused.status_code == 422
    assert pointer in [each["pointer"] for each in refused.json()["error"]["errors"]]


def test_upload_with_a_lost_result_makes_no_second_version(uploads: Uploads):
    reported = {"kind": "model", "name": "cats", "filename": "c.safetensors", "dataset": ""}
    url = uploads.upload(weights(), **reported)
    intake = uploads.world.runtime.library.uploads.intake
    with patch.object(UploadStore, "complete", side_effect=DatabaseUnavailable):
        intake.process_models()
    assert uploads.get(url)["status"] == "received"
    intake._pauses.clear()
    uploads.take()
    found = uploads.get(url)
    assert (found["status"], found["result"]["version"]) == ("completed", 1)
    assert uploads.world.client.data(f"{REGISTRY}/cats")["versions"] == 1


def test_model_of_another_user_gets_no_version(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, bob = (Uploads(world.signed_in(name)) for name in ("ann", "bob"))
    send(ann, weights())
    assert ann.world.client.data(f"{REGISTRY}/cats")["owner"] == "ann"
    refused = bob.begin(9, kind="model", name="cats")
    assert refused.json()["error"]["code"] == "not_yours"
    few = [Permission.DATASETS_READ, Permission.DATASETS_WRITE]
    carl = Uploads(replace(world, client=world.client.showing(world.key("carl", None, permissions=tuple(few)))))
    assert carl.begin(9, kind="model", name="dogs").json()["error"]["code"] == "forbidden"


def test_unfinished_upload_is_examined(uploads: Uploads):
    content = weights()
    url = uploads.start_upload(len(content), kind="model", name="cats", filename="c.safetensors")
    uploads.send(url, 0, content[:-10])
    body = {"upload_id": url.rpartition("/")[2]}
    shown = uploads.world.client.post(VALIDATE, json=body).json()["data"]
    assert (shown["form"], shown["is_whole"]) == ("safetensors", False)
    assert str(uploads.world.storage) not in json.dumps(shown)
    absent = uploads.world.client.post(VALIDATE, json={"upload_id": "0" * 32})
    assert absent.json()["error"]["code"] == "upload_not_found"
    both = uploads.world.client.post(VALIDATE, json={"upload_id": "0" * 32, "path": "/x"})
    assert both.status_code == 422


def test_upload_of_another_user_is_not_examined(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = (Uploads(world.signed_in(name)) for name in ("ann", "bob"))
    url = ann.start_upload(100, kind="model", name="cats", filename="c.safetensors")
    assert bob.world.client.post(VALIDATE, json={"upload_id": url.rpartition("/")[2]}).status_code == 404


def test_started_upload_is_listed_with_its_kind(uploads: Uploads):
    uploads.start_upload(10, kind="model", name="cats", filename="c.safetensors")
    (row,) = uploads.world.client.data(UPLOADS)["uploads"]
    assert (row["kind"], row["dataset"]) == ("model", None)
