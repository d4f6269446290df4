"""The check of the trainer's environment, over HTTP."""

from pathlib import Path

from tests.api.conftest import MakeWorld, World
from tests.unit.trainers.diffusion_pipe.builders import Case
from tests.unit.trainers.diffusion_pipe.installation.sample_installation import SampleInstallation

TRAINER = "/api/v1/system/trainer"


def open_world_with(make_world: MakeWorld, installation: SampleInstallation, **settings: bool) -> World:
    return make_world(diffusion_pipe_root=installation.root, diffusion_pipe_python=str(installation.python), **settings)


def test_trainer_without_settings_is_a_problem_with_a_command(world: World):
    found = world.client.data(TRAINER)
    assert (found["ready"], found["checked_at"]) == (False, None)
    assert [problem["code"] for problem in found["problems"]] == ["trainer_not_found", "interpreter_not_found"]
    assert "git clone" in found["problems"][0]["command"]


def test_check_runs_in_the_background(make_world: MakeWorld, tmp_path: Path):
    installation = SampleInstallation(tmp_path)
    installation.remove("deepspeed")
    world = open_world_with(make_world, installation)
    assert world.client.data(TRAINER)["ready"] is None
    started = world.client.post(f"{TRAINER}/check")
    assert (started.status_code, started.json()["data"]["is_checking"]) == (202, True)
    world.runtime.installation.check_if_due()
    found = world.client.data(TRAINER)
    assert (found["ready"], found["is_checking"], found["python"]) == (False, False, "3.12.4")
    assert found["problems"][0]["command"].endswith("pip install deepspeed==0.18.4")
    (trainer,) = [one for one in world.client.data("/api/v1/system/overview")["trainers"] if not one["ready"]]
    assert trainer["problems"][0]["code"] == "deepspeed_missing"


def validate(world: World, case: Case) -> list[str]:
    body = {"model_type": "flux", "config": case.config, "dataset": case.dataset}
    answered = world.client.post("/api/v1/training/validate", json=body)
    assert answered.status_code == 200, answered.text
    return [one["message"] for one in answered.json()["data"]["errors"]]


def test_wrong_environment_refuses_trainings_unless_turned_off(make_world: MakeWorld, tmp_path: Path):
    installation = SampleInstallation(tmp_path)
    installation.set_version("3, 11, 9")
    world = open_world_with(make_world, installation)
    case = Case(tmp_path)
    assert not any("3.11.9" in message for message in validate(world, case))
    world.runtime.installation.check_if_due()
    assert any("3.11.9" in message for message in validate(world, case))
    world.runtime.stop()
    world = open_world_with(make_world, installation, trainer_check=False)
    world.runtime.installation.check_if_due()
    assert not any("3.11.9" in message for message in validate(world, case))
