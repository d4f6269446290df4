"""The command of an attempt: DeepSpeed's launcher, started directly, with exactly the GPUs of the lease."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.domain.training import TrainingRequest
from api.trainers.diffusion_pipe.files import CONFIG
from api.trainers.environment import split_secrets
from api.trainers.trainer import Command, Launch

#: Variables set only on boards of the GeForce RTX 40 series, which have no direct way between GPUs (anywhere else they
#: would take NVLink away), unless the request says otherwise.
_WITHOUT_P2P = {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
_HAS_NO_P2P = re.compile(r"\bGeForce RTX 40\d\d\b")

#: Variables that are always set: the launcher's indices are NVML's, and every printed line arrives at once.
_FIXED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "PYTHONUNBUFFERED": "1"}


def build(python: str, root: Path, request: TrainingRequest, launch: Launch, files: Mapping[str, str]) -> Command:
    """The command with its files. The request's secret variables are not in it: the service keeps and adds them."""
    public, _ = split_secrets(request.env)
    return Command(
        argv=(python, *_arguments(request, launch)),
        cwd=root,
        env={**_nccl(launch.gpu_names), **public, **_FIXED},
        files=dict(files),
    )


def _nccl(gpu_names: Sequence[str | None]) -> dict[str, str]:
    return _WITHOUT_P2P if any(_HAS_NO_P2P.search(name or "") for name in gpu_names) else {}


def _arguments(request: TrainingRequest, launch: Launch) -> tuple[str, ...]:
    port = str(launch.master_port)
    # The trainer takes the port from its own flag, whatever the launcher was told: both are given.
    arguments = [
        "-u",
        "-m",
        "deepspeed.launcher.launch",
        f"--world_info={world_info(launch.gpu_indices)}",
        "--master_addr=127.0.0.1",
        f"--master_port={port}",
        "train.py",
        "--deepspeed",
        "--config",
        str(launch.directory / CONFIG),
        "--master_port",
        port,
    ]
    if launch.run_dir is not None:
        arguments += ["--resume_from_checkpoint", str(launch.run_dir.absolute())]
        if launch.resume.reset_dataloader:
            arguments.append("--reset_dataloader")
        if launch.resume.reset_optimizer:
            arguments.append("--reset_optimizer")
    if request.regenerate_cache:
        arguments.append("--regenerate_cache")
    if request.trust_cache:
        arguments.append("--trust_cache")
    if request.cache_only:
        arguments.append("--cache_only")
    return tuple(arguments)


def world_info(gpu_indices: tuple[int, ...]) -> str:
    """The GPUs in the form that the launcher takes."""
    return base64.urlsafe_b64encode(json.dumps({"localhost": list(gpu_indices)}).encode()).decode()
