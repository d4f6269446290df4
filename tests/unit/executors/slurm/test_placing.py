"""The commands of all trainers become equal after placing, whatever GPUs and port they were prepared with."""

from pathlib import Path

import pytest

from api.domain.training import TrainingRequest
from api.executors.slurm.placing import place_argv, place_environment
from api.trainers.diffusion_pipe.command import build
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Command, Launch


def launch(gpus: tuple[int, ...], port: int) -> Launch:
    return Launch(Path("/attempt"), Path("/output"), gpus, port)


def real(gpus: tuple[int, ...], port: int) -> Command:
    request = TrainingRequest(model_type="flux")
    return build("python", Path("/trainer"), request, launch(gpus, port), {})


def toy(gpus: tuple[int, ...], port: int) -> Command:
    request = TrainingRequest(model_type="toy", config={"epochs": 1})
    plan = Toy().check(request, Path("/output")).plan
    assert plan is not None
    return Toy().prepare(request, plan, launch(gpus, port))


@pytest.mark.parametrize("prepare", [real, toy])
def test_command_gets_the_gpus_and_the_port_of_its_node(prepare: "object") -> None:
    assert callable(prepare)
    meant, given = prepare((0, 1), 29_500), prepare((5, 7), 30_111)
    assert tuple(place_argv(meant.argv, ["5", "7"], 30_111)) == given.argv
    assert place_environment(dict(meant.env), ["5", "7"]) == given.env


def test_without_a_port_the_command_is_unchanged() -> None:
    assert place_argv(["x", "--master_port", "1"], ["0"], None) == ["x", "--master_port", "1"]


def test_environment_without_gpus_gets_none() -> None:
    assert place_environment({"PATH": "/bin"}, ["1"]) == {"PATH": "/bin"}
