import json
import socket
import time
from pathlib import Path

import pytest

from api.domain.tasks.training import TrainingRequest
from api.executors.slurm.batch import choose_port, place_argv, place_environment, prepare, wait
from api.trainers.diffusion_pipe.plan.plan import build_command
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Command, Launch

SLURM = {"SLURMD_NODENAME": "n2", "SLURM_JOB_ID": "9", "SLURM_JOB_GPUS": "4,6", "CUDA_VISIBLE_DEVICES": "0,1"}


def write(directory: Path, **spec: object) -> None:
    content = {"uid": "a.1", "argv": ["train", "--master_port", "29999"], "master_port": 29999, **spec}
    (directory / "spec.json").write_text(json.dumps(content))
    (directory / "environment.json").write_text(json.dumps({"CUDA_VISIBLE_DEVICES": "3"}))


def read(directory: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((directory / name).read_text())
    return content


def test_node_completes_the_specification(tmp_path: Path) -> None:
    write(tmp_path)
    prepare(str(tmp_path), SLURM)
    spec = read(tmp_path, "spec.json")
    assert (spec["node"], spec["job_id"], spec["gpu_indices"]) == ("n2", "9", [4, 6])
    # With device confinement, a process counts only the devices that it may use.
    assert read(tmp_path, "environment.json") == {"CUDA_VISIBLE_DEVICES": "0,1"}


def test_started_attempt_is_not_changed(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "runner.json").write_text("{}")
    prepare(str(tmp_path), SLURM)
    assert "job_id" not in read(tmp_path, "spec.json")


def test_early_job_waits_for_its_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not wait(str(tmp_path), 0.0)
    monkeypatch.setattr(time, "sleep", lambda _: write(tmp_path))
    assert wait(str(tmp_path), 60.0)


def test_port_in_use_is_replaced() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        assert choose_port(port) != port
    assert choose_port(port) == port


def launch(gpus: tuple[int, ...], port: int) -> Launch:
    return Launch(Path("/attempt"), Path("/output"), gpus, port)


def real(gpus: tuple[int, ...], port: int) -> Command:
    request = TrainingRequest(model_type="flux")
    return build_command("python", Path("/trainer"), request, launch(gpus, port), {})


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
