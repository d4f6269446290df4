"""The checklist of a new installation."""

from pathlib import Path
from typing import Any

from PIL import Image

from api.domain.access.principal import Role
from tests.api.conftest import MakeWorld, World
from tests.unit.trainers.diffusion_pipe.installation.sample_installation import SampleInstallation

SETUP = "/api/v1/system/setup"


def steps(world: World) -> dict[str, Any]:
    return {step["id"]: step for step in world.client.data(SETUP)["steps"]}


def code(step: dict[str, Any]) -> Any:
    return step["message_code"]["code"]


def states(world: World) -> dict[str, str]:
    return {name: step["state"] for name, step in steps(world).items()}


def test_empty_machine_has_every_step_open(make_world: MakeWorld, tmp_path: Path):
    world = make_world(browse_directories=(tmp_path,))
    assert states(world) == {
        "trainer": "missing",
        "models": "missing",
        "captions": "optional",
        "dataset": "missing",
        "first_training": "missing",
        "notifications": "optional",
        "access": "optional",
    }
    assert not world.client.data(SETUP)["complete"]
    trainer = steps(world)["trainer"]
    assert (code(trainer), trainer["settings"]) == (
        "trainer_not_found",
        ["DIFFUSION_PIPE_ROOT", "DIFFUSION_PIPE_PYTHON"],
    )
    assert trainer["command"].startswith("git clone")


def test_every_step_can_be_done_without_a_restart(make_world: MakeWorld, tmp_path: Path):
    world = make_world(browse_directories=(tmp_path,))
    installation = SampleInstallation(tmp_path)
    models = tmp_path / "weights"
    models.mkdir()
    (models / "a.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    values = {
        "DIFFUSION_PIPE_ROOT": str(installation.root),
        "DIFFUSION_PIPE_PYTHON": str(installation.python),
        "MODELS_DIRECTORIES": [str(models)],
        "CAPTION_ENDPOINT": "http://127.0.0.1:1/v1",
        "CAPTION_MODEL": "eyes",
        "NOTIFY_URL": "ntfys://ntfy.example.org/gpus",
    }
    answered = world.client.patch("/api/v1/settings", json={"values": values})
    assert answered.status_code == 200, answered.text
    assert states(world)["trainer"] == "checking"
    world.runtime.installation.check_if_due()
    assert world.client.post("/api/v1/datasets", json={"name": "cats"}).status_code == 201
    world.finish()
    assert states(world) == {
        "trainer": "done",
        "models": "done",
        "captions": "done",
        "dataset": "done",
        "first_training": "done",
        "notifications": "done",
        "access": "optional",
    }
    assert world.client.data(SETUP)["complete"]


def test_training_from_a_directory_needs_no_dataset(make_world: MakeWorld, tmp_path: Path):
    world = make_world(dataset_directories=(tmp_path,))
    world.finish()
    assert states(world)["dataset"] == "missing"
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "cats" / "a.png")
    world.finish(dataset={"directories": [{"path": str(tmp_path / "cats")}]})
    dataset = steps(world)["dataset"]
    assert (dataset["state"], code(dataset)) == ("done", "setup_dataset_used")


def test_problem_of_the_trainer_has_its_command(make_world: MakeWorld, tmp_path: Path):
    installation = SampleInstallation(tmp_path)
    installation.remove("deepspeed")
    world = make_world(diffusion_pipe_root=installation.root, diffusion_pipe_python=str(installation.python))
    world.runtime.installation.check_if_due()
    trainer = steps(world)["trainer"]
    assert (trainer["state"], code(trainer)) == ("problem", "deepspeed_missing")
    assert "pip install deepspeed" in trainer["command"]
    assert (trainer["settings"], trainer["fixed_by"]) == ([], "DIFFUSION_PIPE_ROOT")


def test_checkout_in_a_directory_that_may_be_browsed_is_suggested(make_world: MakeWorld, tmp_path: Path):
    checkout = tmp_path / "home" / "work" / "diffusion-pipe"
    (checkout / "examples").mkdir(parents=True)
    for name in ("train.py", "examples/main_example.toml"):
        (checkout / name).touch()
    python = checkout / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    world = make_world(browse_directories=(tmp_path / "home",))
    assert steps(world)["trainer"]["suggestions"] == {
        "DIFFUSION_PIPE_ROOT": str(checkout),
        "DIFFUSION_PIPE_PYTHON": str(python),
    }


def test_python_with_the_trainers_packages_is_suggested(make_world: MakeWorld, tmp_path: Path):
    home, checkout = tmp_path / "home", tmp_path / "home" / "diffusion-pipe"
    (checkout / "examples").mkdir(parents=True)
    for name in ("train.py", "examples/main_example.toml"):
        (checkout / name).touch()
    for name in ("comfy", "miniconda3", "miniconda3/envs/other", "miniconda3/envs/trainer"):
        python = home / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch(0o755)
    world = make_world(browse_directories=(home,))
    assert steps(world)["trainer"]["suggestions"] == {"DIFFUSION_PIPE_ROOT": str(checkout)}
    (home / "miniconda3/envs/trainer/lib/python3.12/site-packages/deepspeed").mkdir(parents=True)
    trainer = steps(world)["trainer"]
    assert trainer["suggestions"]["DIFFUSION_PIPE_PYTHON"] == str(home / "miniconda3/envs/trainer/bin/python")
    assert trainer["command"] is None


def test_folder_with_models_is_suggested(make_world: MakeWorld, tmp_path: Path):
    home = tmp_path / "home"
    for name in ("empty", "Downloads", "ComfyUI/models/loras"):
        (home / name).mkdir(parents=True)
    world = make_world(browse_directories=(home,))
    assert steps(world)["models"]["suggestions"] == {}
    (home / "Downloads" / "a.safetensors").touch()
    assert steps(world)["models"]["suggestions"] == {"MODELS_DIRECTORIES": [str(home / "Downloads")]}
    # A directory named for it comes first.
    (home / "ComfyUI" / "models" / "loras" / "b.safetensors").touch()
    assert steps(world)["models"]["suggestions"] == {"MODELS_DIRECTORIES": [str(home / "ComfyUI" / "models")]}


def test_trainer_that_is_only_checked_on_request_is_not_waited_for(make_world: MakeWorld, tmp_path: Path):
    installation = SampleInstallation(tmp_path)
    located = {"diffusion_pipe_root": installation.root, "diffusion_pipe_python": str(installation.python)}
    assert states(make_world(**located, trainer_check=False))["trainer"] == "optional"
    assert states(make_world(**located))["trainer"] == "checking"


def test_missing_directory_of_models_is_a_problem(make_world: MakeWorld, tmp_path: Path):
    world = make_world(models_directories=(tmp_path / "gone",))
    assert (steps(world)["models"]["state"], code(steps(world)["models"])) == ("problem", "setup_models_gone")


def test_address_without_a_model_is_a_problem(make_world: MakeWorld):
    assert states(make_world(caption_endpoint="http://127.0.0.1:1/v1"))["captions"] == "problem"


def test_other_users_see_states_but_no_commands_and_suggestions(make_world: MakeWorld, tmp_path: Path):
    world = make_world(auth="required", browse_directories=(tmp_path,))
    for role in (Role.VIEWER, Role.TRAINER):
        trainer = steps(world.signed_in(role.value, role))["trainer"]
        assert (trainer["state"], trainer["settings"], trainer["command"]) == ("missing", [], None)
    assert world.client.get(SETUP).status_code == 401


def test_access_is_done_with_a_second_key(make_world: MakeWorld):
    world = make_world(auth="required")
    admin = world.signed_in("ada", Role.ADMIN)
    assert states(admin)["access"] == "optional"
    world.key("tom")
    assert states(admin)["access"] == "done"
