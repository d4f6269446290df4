"""The command of an attempt: DeepSpeed's launcher with exactly the GPUs of the task."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.domain.training import TrainingRequest
from api.trainers.diffusion_pipe.config_files import CONFIG
from api.trainers.environment import split_secrets
from api.trainers.trainer import Command, Launch

#: Variables for GeForce RTX 40 boards, which lack direct transfer between GPUs, unless the request sets them.
#: Other boards must not get them, as they would lose NVLink.
_WITHOUT_P2P = {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
_HAS_NO_P2P = re.compile(r"\bGeForce RTX 40\d\d\b")

#: Always set: the launcher's GPU indices are those of NVML, and printed lines arrive immediately.
_FIXED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "PYTHONUNBUFFERED": "1"}


def build(python: str, root: Path, request: TrainingRequest, launch: Launch, files: Mapping[str, str]) -> Command:
    """Return the command and its files. Secret variables are not included; the service stores and adds them."""
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
    # The trainer reads the port from its own option and ignores the launcher's, so set both.
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
    """Return the GPUs in the launcher's format."""
    return base64.urlsafe_b64encode(json.dumps({"localhost": list(gpu_indices)}).encode()).decode()
