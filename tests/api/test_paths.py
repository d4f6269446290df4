"""With VISIBILITY=own, no user can read another's files by naming their paths, in any field.

tests/unit/access/test_readable_paths.py tests every key of a request; this module tests the routes that accept paths.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.api.datasets import DATASETS, add_version
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, make_root, write_image

EXAMINE = "/api/v1/models/validate"
MESSAGE = "This path leads to files of the service or of another user."


@pytest.fixture
def own(make_world: MakeWorld, tmp_path: Path) -> World:
    return make_world(
        auth="required",
        visibility="own",
        rate_limits=(),
        diffusion_pipe_root=make_root(tmp_path),
        diffusion_pipe_python=PYTHON,
        dataset_directories=(tmp_path / "srv",),
    )


@pytest.fixture
def ann(own: World) -> World:
    return own.signed_in("ann")


@pytest.fixture
def bob(own: World) -> World:
    return own.signed_in("bob")


@pytest.fixture
def run(bob: World) -> Path:
    """Return Bob's saved adapter."""
    saved = bob.output(bob.finish()) / "20260101_00-00-00" / "epoch1"
    return write_stand_in(saved / "adapter_model.safetensors", STAND_INS["vae-flux"]).parent


WAYS: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda run, root: str(run),
    "relative": lambda run, root: os.path.relpath(run, root / "trainer"),
    "dots": lambda run, root: f"{root}/trainer/../storage/models/../{run.relative_to(root / 'storage')}",
    "link": lambda run, root: _link(root / "link", run),
    "chain": lambda run, root: _link(root / "first", Path(_link(root / "second", run.parent)) / run.name),
}


def _link(at: Path, target: Path) -> str:
    at.symlink_to(target)
    return str(at)


def validate(world: World, **body: Any) -> Any:
    return world.client.post(f"{TRAINING}/validate", json=body).json()["data"]


def flux(adapter: str, **config: Any) -> dict[str, Any]:
    return {
        "model_type": "flux",
        "config": {"adapter": {"type": "lora", "rank": 8, "init_from_existing": adapter}, **config},
        "dataset": {"directories": [{"path": "/nowhere"}]},
    }


@pytest.mark.parametrize("way", WAYS)
def test_only_its_owner_may_continue_from_an_adapter(ann: World, bob: World, run: Path, tmp_path: Path, way: str):
    body = flux(WAYS[way](run, tmp_path))
    found = validate(ann, **body)
    assert [(each["pointer"], each["message"]) for each in found["errors"]] == [
        ("/config/adapter/init_from_existing", MESSAGE)
    ]
    assert (found["plan"], found["warnings"]) == (None, [])
    refused = ann.client.post(f"{TRAINING}/start", json=body)
    assert refused.status_code == 422
    assert [each["message"] for each in refused.json()["error"]["errors"]] == [MESSAGE]
    assert MESSAGE not in {each["message"] for each in validate(bob, **body)["errors"]}


def test_response_is_the_same_for_a_missing_file(ann: World, run: Path):
    there, not_there = (validate(ann, **flux(f"{run.parent}/{name}")) for name in ("epoch1", "epoch2"))
    assert there["errors"] == not_there["errors"]


def test_resume_rejects_files_of_others(own: World, ann: World, run: Path):
    task_id = ann.finish()
    own.make_checkpoints(task_id, 100)
    body = {"dataset": {"directories": [{"path": str(run)}]}, "config": {"epochs": 9}}
    refused = ann.client.post(f"{TRAINING}/resume/{task_id}", json=body)
    assert (refused.status_code, refused.json()["error"]["errors"][0]["message"]) == (422, MESSAGE)


def test_link_changed_while_the_task_is_queued_is_found_at_the_start(ann: World, run: Path, tmp_path: Path):
    pictures = write_image(tmp_path / "pictures" / "a.png", (8, 8)).parent
    link = tmp_path / "link"
    link.symlink_to(pictures)
    body = {**TOY, "dataset": {"directories": [{"path": str(link)}]}}
    task_id = ann.start(**body)
    link.unlink()
    link.symlink_to(run)
    ann.train()
    task = ann.get(task_id)
    assert task["status"] == "failed"
    assert "/dataset/directories/0/path now leads to files of the service or of another user" in str(task["failure"])


def test_weights_are_examined_in_model_directories_and_own_runs(ann: World, bob: World, run: Path, tmp_path: Path):
    file = run / "adapter_model.safetensors"
    model = write_stand_in(tmp_path / "storage" / "models" / "vae.safetensors", STAND_INS["vae-flux"])
    foreign = write_stand_in(tmp_path / "home" / "vae.safetensors", STAND_INS["vae-flux"])
    (model.parent / "link.safetensors").symlink_to(file)

    def looked(world: World, path: Path) -> httpx.Response:
        return world.client.post(EXAMINE, json={"path": str(path)})

    def result(path: Path) -> Any:
        error = looked(ann, path).json()["error"]
        return error["code"], error["detail"], error["errors"]

    for path, of_ann, of_bob in ((model, 200, 200), (file, 404, 200), (run, 404, 200), (foreign, 404, 404)):
        assert (looked(ann, path).status_code, looked(bob, path).status_code) == (of_ann, of_bob), path
    missing = result(tmp_path / "nothing")
    assert missing[0] == "weights_not_found"
    for path in (file, run, foreign, model.parent, model.parent / "link.safetensors", Path("/etc/passwd"), run / "x"):
        assert result(path) == missing, path
    admin = ann.signed_in("root", "admin")
    assert looked(admin, foreign).status_code == 200


def test_only_a_user_with_full_scope_registers_a_shared_directory(ann: World, bob: World, tmp_path: Path):
    (tmp_path / "srv" / "ann").mkdir(parents=True)
    body = {"name": "all", "directory": str(tmp_path / "srv")}
    refused = bob.client.post(DATASETS, json=body)
    assert refused.json()["error"]["errors"][0]["message"] == "This directory is not permitted."
    assert ann.client.post(DATASETS, json={"name": "a", "directory": f"{tmp_path}/srv/ann"}).status_code == 201
    assert ann.signed_in("root", "admin").client.post(DATASETS, json=body).status_code == 201


def test_directory_of_another_user_is_neither_registered_nor_trained_on(ann: World, bob: World, tmp_path: Path):
    (tmp_path / "srv" / "bob" / "deep").mkdir(parents=True)
    place = str(tmp_path / "srv" / "bob")
    assert bob.client.post(DATASETS, json={"name": "bobs", "directory": place}).status_code == 201
    for path in (place, f"{place}/deep", f"{tmp_path}/srv", f"{place}/nothing"):
        refused = ann.client.post(DATASETS, json={"name": "anns", "directory": path})
        assert refused.json()["error"]["errors"][0]["message"] == "This directory is not permitted.", path
    body = {**TOY, "dataset": {"directories": [{"path": f"{place}/deep"}]}}
    assert validate(ann, **body)["errors"][0]["message"] == MESSAGE
    assert validate(bob, **body)["errors"][0]["message"] != MESSAGE


def test_dataset_check_opens_no_files_of_others(ann: World, run: Path):
    assert ann.client.post(DATASETS, json={"name": "cats"}).status_code == 201
    add_version(ann, {"a.png": "one"})
    body = {"model_type": "wan", "resolutions": [512], "config": {"model": {"ckpt_path": str(run)}}}
    refused = ann.client.post(f"{DATASETS}/cats/check", json=body)
    assert [each["message"] for each in refused.json()["error"]["errors"]] == [MESSAGE]


STRANGE = [
    "",
    "\0",
    "a\0b",
    "a\nb",
    "x" * 300,
    "x" * 5000,
    "/" + "x" * 300,
    "/" + "a/" * 2500,
    "~root",
    "\u202e",
    "$HOME",
]
STRANGE += ["/dev/zero", "/proc/self/mem", "/proc/self/fd/0", "{tmp}/pipe", "{tmp}/folder", "{tmp}/file", "{tmp}/loop"]


def test_strange_paths_are_mistakes_and_never_server_errors(ann: World, own: World, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "loop").symlink_to("loop")
    admin = own.signed_in("root", "admin")
    for given in STRANGE:
        text = given.replace("{tmp}", str(tmp_path))
        directory = dict.fromkeys(("path", "mask_path", "control_path", "default_mask_file"), text)
        paths = dict.fromkeys(("diffusers_path", "transformer_path", "vae_path"), text)
        config = {"model": paths, "eval_datasets": [{"name": "e", "config": text}], "output_dir": text}
        body = {**flux(text), "config": {**flux(text)["config"], **config}, "dataset": {"directories": [directory]}}
        for world in (ann, admin):
            answers = [
                world.client.post(f"{TRAINING}/validate", json={**body, "env": {"HF_HOME": text}}),
                world.client.post(f"{TRAINING}/start", json=body),
                world.client.post(EXAMINE, json={"path": text}),
                world.client.post(DATASETS, json={"name": "cats", "directory": text}),
                world.client.post("/api/v1/preprocess/start", json={"directory": text}),
            ]
            assert {answer.status_code for answer in answers} <= {200, 400, 404, 422}, (given, answers)
