"""A service that trains with the real trainer on the CPU, and requests for it."""

import hashlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.server import ROOT
from tests.e2e.training_server import FINISHED, TrainingServer
from tests.media import clip, picture

HERE = ROOT / "tests" / "trainer"

T = TypeVar("T")

#: Seconds that one training may take. Its start alone computes for half a minute: imports of torch, DeepSpeed, ComfyUI.
PATIENCE = 900.0

#: Tiny models, which later runs use again.
MODELS = ROOT / "build" / "trainer-models"

#: Requirements of the trainer whose absence is certain to end each training.
MODULES = ("torch", "torchvision", "deepspeed", "diffusers", "transformers", "datasets", "peft", "toml", "multiprocess")

#: Width and height of the pictures; together they fill three aspect buckets.
SHAPES = ((96, 96), (128, 64), (64, 128), (100, 80))
PICTURES = 12

#: A step takes two pictures, and each of the three buckets (6, 3 and 3 pictures) drops its remainder.
STEPS = 5


def missing_reason(root: str | None, python: str | None) -> str | None:
    """Return why there is no trainer to test with, or None if there is one."""
    if not root or not python:
        return "no trainer is named: make test-trainer TRAINER_ROOT=... TRAINER_PYTHON=..., see docs/trainer-tests.md"
    if not (Path(root) / "train.py").is_file() or not (Path(root) / "submodules" / "ComfyUI" / "comfy").is_dir():
        return f"TRAINER_ROOT={root} is no checkout of diffusion-pipe with its submodule ComfyUI"
    check = f"from importlib.util import find_spec; print(*[name for name in {MODULES} if find_spec(name) is None])"
    try:
        done = subprocess.run([python, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"TRAINER_PYTHON={python} cannot be run: {error}"
    lacking = done.stdout.strip()
    return f"TRAINER_PYTHON={python} lacks {lacking}, see docs/trainer-tests.md" if lacking else None


class Rig:
    """Models, datasets and a Python for the real trainer, in one directory."""

    def __init__(self, directory: Path, root: str, python: str) -> None:
        self.directory = directory
        self.root = Path(root).resolve()
        self.python = directory / "python-on-cpu"
        shim = f"export PYTHONPATH='{HERE / 'shim'}' DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
        self.python.write_text(f'#!/bin/sh\n{shim}\nexec "{Path(python).absolute()}" "$@"\n')
        self.python.chmod(0o755)

    def settings(self) -> dict[str, str]:
        """Return the settings of a server that uses this trainer."""
        return {
            "DIFFUSION_PIPE_ROOT": str(self.root),
            "DIFFUSION_PIPE_PYTHON": str(self.python),
            "ALLOW_PICKLED_WEIGHTS": "1",
            "DATASET_DIRECTORIES": str(self.directory / "data"),
            "MAX_CONCURRENT_TASKS": "2",
            "STOP_CHECKPOINT_SECONDS": "60",
            "STOP_TERMINATE_SECONDS": "20",
        }

    def server(self, directory: Path) -> TrainingServer:
        """Return a server that uses this trainer."""
        return TrainingServer(directory, **self.settings())

    def model(self, kind: str) -> Path:
        """Return the directory of a tiny model, and make it first if it is missing."""
        code = HERE / "tiny_models.py"
        directory = MODELS / f"{kind}-{hashlib.sha256(code.read_bytes()).hexdigest()[:8]}"
        if not directory.exists():
            unfinished = self.directory / kind
            command = [str(self.python), str(code), kind, str(unfinished)]
            done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            MODELS.mkdir(parents=True, exist_ok=True)
            shutil.move(unfinished, directory)
        return directory

    def pictures(self, name: str, count: int = PICTURES) -> Path:
        """Return a directory of pictures with captions, and make it first if it is missing."""
        directory = self.directory / "data" / name
        if not directory.exists():
            directory.mkdir(parents=True)
            for number in range(count):
                (directory / f"{number:03}.png").write_bytes(picture(*SHAPES[number % len(SHAPES)], seed=number))
                (directory / f"{number:03}.txt").write_text(f"a picture of noise, number {number}")
        return directory

    def videos(self, name: str) -> Path:
        """Return a directory with three clips, one too short clip, two pictures, and a file that is no video."""
        directory = self.directory / "data" / name
        if not directory.exists():
            directory.mkdir(parents=True)
            for number, (frames, fps) in enumerate([(8, 16), (12, 16), (20, 24), (3, 16)]):
                clip(directory / f"clip{number}.mp4", frames, fps, (64, 64))
            (directory / "broken.mp4").write_bytes(random.Random(0).randbytes(5_000))
            for number in range(2):
                (directory / f"still{number}.png").write_bytes(picture(64, 64, seed=number))
            for path in list(directory.iterdir()):
                path.with_suffix(".txt").write_text(f"noise named {path.stem}")
        return directory

    def dataset(self, *directories: Path, **more: Any) -> dict[str, Any]:
        """Return the settings of a dataset with three aspect buckets of 64 pixels."""
        buckets = {"enable_ar_bucket": True, "min_ar": 0.5, "max_ar": 2.0, "num_ar_buckets": 3}
        return {"resolutions": [64], **buckets, "directories": [{"path": str(path)} for path in directories], **more}

    def evaluation(self, name: str) -> dict[str, Any]:
        """Return the settings of an evaluation after each epoch, on four pictures."""
        config = self.directory / f"{name}.toml"
        data = self.pictures(name, 4)
        config.write_text(
            "resolutions = [64]\nenable_ar_bucket = true\nmin_ar = 0.5\nmax_ar = 2.0\nnum_ar_buckets = 3\n"
            f"[[directory]]\npath = '{data}'\n"
        )
        return {"datasets": [{"name": "held_out", "config": str(config)}], "every_n_epochs": 1}

    def request(self, kind: str = "flux", data: str = "pictures", epochs: int = 2, **more: Any) -> dict[str, Any]:
        """Return the request of a training with `STEPS` steps per epoch, a checkpoint and a model after each."""
        slot = "ckpt_path" if kind == "wan" else "diffusers_path"
        config = {
            "epochs": epochs,
            "micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 2,
            "warmup_steps": 2,
            "save": {"every_n_epochs": 1, "checkpoint_every_n_epochs": 1},
            "optimization": {"activation_checkpointing": True, "save_dtype": "bfloat16"},
            "model": {slot: str(self.model(kind)), "dtype": "bfloat16"},
            "adapter": {"type": "lora", "rank": 4, "dtype": "bfloat16"},
            "optimizer": {"type": "adamw", "lr": 2e-4, "betas": [0.9, 0.99], "weight_decay": 0.01},
            **more.pop("config", {}),
        }
        dataset = more.pop("dataset", None) or self.dataset(self.pictures(data))
        env = {"WANDB_NOTES": more.pop("notes", "")}
        return {"model_type": kind, "gpu_count": 1, "config": config, "dataset": dataset, "env": env, **more}


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Return the first true value of `condition`. It is tested rarely, since the trainings need the cores."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"timeout waiting for {what}"
        time.sleep(0.5)
    return value


def await_end(server: TrainingServer, task_id: str, *statuses: str) -> dict[str, Any]:
    """Wait until a training has ended with one of these statuses, and return it."""
    wait_for(lambda: server.task(task_id)["status"] in FINISHED, f"the end of {task_id}")
    task = server.task(task_id)
    assert task["status"] in statuses, (task["failure"], server.log_of(task_id)[-3000:])
    return task


def await_log(server: TrainingServer, task_id: str, text: str) -> None:
    """Wait until the log of a training contains a text."""

    def poll() -> bool:
        has_ended = server.task(task_id)["status"] in FINISHED
        found = text in server.log_of(task_id)
        assert found or not has_ended, (server.task(task_id)["failure"], server.log_of(task_id)[-3000:])
        return found

    wait_for(poll, f"{text!r} in the log of {task_id}")


def await_step(server: TrainingServer, task_id: str, step: int) -> None:
    """Wait until the trainer has printed a step and the service shows it."""
    await_log(server, task_id, f"\nsteps: {step} ")
    wait_for(lambda: (server.task(task_id)["progress"]["current_step"] or 0) >= step, f"step {step} of {task_id}")


def steps_in(log: str) -> list[int]:
    """Return the steps that the trainer printed, over all attempts."""
    return [int(line.split()[1]) for line in log.splitlines() if line.startswith("steps: ")]


def names_in(directory: Path) -> set[str]:
    """Return the names in a directory."""
    return set(os.listdir(directory))
