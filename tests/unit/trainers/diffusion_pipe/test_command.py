import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.training import ResumeOptions
from api.trainers.diffusion_pipe.config.checkout import TORCH_FILE
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, TextCase, launch, prepare
from tests.unit.trainers.diffusion_pipe.installation.sample_installation import SampleInstallation


def test_command_is_the_launcher_started_directly(tmp_path: Path):
    case = TextCase(tmp_path)
    command = prepare(case)
    assert command.cwd == tmp_path / "trainer"
    assert command.argv == (
        PYTHON,
        "-u",
        "-m",
        "deepspeed.launcher.launch",
        "--world_info=" + base64.urlsafe_b64encode(b'{"localhost": [2, 3]}').decode(),
        "--master_addr=127.0.0.1",
        "--master_port=29671",
        "train.py",
        "--deepspeed",
        "--config",
        str(tmp_path / "task" / "attempts" / "2" / "config.toml"),
        "--master_port",
        "29671",
    )


def test_attempt_records_the_version_of_torch_if_it_is_known(tmp_path: Path):
    case = TextCase(tmp_path)
    assert TORCH_FILE not in prepare(case).files
    check = SampleInstallation(tmp_path / "fake").create_check()
    check._last = replace(check.last, torch="2.7.1+cu128")
    plan = case.trainer.check(case.request(), case.output_dir).plan
    assert plan is not None
    case.trainer.installation = check
    assert case.trainer.prepare(case.request(), plan, launch(case)).files[TORCH_FILE] == "2.7.1+cu128"


def test_world_info_can_be_read_back(tmp_path: Path):
    (argument,) = [part for part in prepare(TextCase(tmp_path)).argv if part.startswith("--world_info=")]
    assert json.loads(base64.urlsafe_b64decode(argument.partition("=")[2])) == {"localhost": [2, 3]}


def test_resume_names_the_run_directory_and_what_is_reset(tmp_path: Path):
    run_dir = tmp_path / "task" / "output" / "20260101_00-00-00"
    resume = ResumeOptions(reset_dataloader=True, reset_optimizer=True)
    argv = prepare(TextCase(tmp_path), run_dir=run_dir, resume=resume).argv
    assert argv[-4:] == ("--resume_from_checkpoint", str(run_dir), "--reset_dataloader", "--reset_optimizer")


def test_reset_options_need_a_run_directory(tmp_path: Path):
    assert "--reset_optimizer" not in prepare(TextCase(tmp_path), resume=ResumeOptions(reset_optimizer=True)).argv


def test_cache_options_come_from_the_request(tmp_path: Path):
    case = TextCase(tmp_path)
    argv = prepare(case, case.request(regenerate_cache=True, trust_cache=True)).argv
    assert argv[-2:] == ("--regenerate_cache", "--trust_cache")


def test_environment_can_be_overridden_but_not_the_order_of_gpus(tmp_path: Path):
    case = TextCase(tmp_path)
    assert dict(prepare(case).env) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "PYTHONUNBUFFERED": "1"}
    request = case.request(env={"NCCL_P2P_DISABLE": "0", "HF_HOME": "/hf"})
    env = prepare(case, request, gpu_names=("NVIDIA GeForce RTX 4090",)).env
    assert (env["NCCL_P2P_DISABLE"], env["NCCL_IB_DISABLE"], env["HF_HOME"]) == ("0", "1", "/hf")


@pytest.mark.parametrize(
    ("names", "disabled"),
    [
        (("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090"), True),
        (("NVIDIA GeForce RTX 4070 Ti SUPER",), True),
        (("NVIDIA GeForce RTX 4080 Laptop GPU",), True),
        (("NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 4060"), True),
        (("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"), False),
        (("NVIDIA A100-SXM4-40GB",), False),
        (("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 5090"), False),
        (("NVIDIA RTX 4000 Ada Generation", "Quadro RTX 4000"), False),
        ((None,), False),
        ((), False),
    ],
)
def test_p2p_is_disabled_only_on_gpus_without_it(tmp_path: Path, names, disabled: bool):
    env = prepare(TextCase(tmp_path), gpu_names=names).env
    assert ("NCCL_P2P_DISABLE" in env, "NCCL_IB_DISABLE" in env) == (disabled, disabled)
