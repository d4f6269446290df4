"""A checkout and an environment that a test can break: real files, a real interpreter, and packages without content."""

import shutil
import subprocess
import sys
from pathlib import Path

from api.trainers.diffusion_pipe.installation.check import InstallationCheck, TrainerLocation
from api.trainers.diffusion_pipe.installation.problems import GPUNeeds
from api.util.clock import FakeClock

PINNED = "9a9fdb1a0c5b9e7a1d2f3046857b9aacb1c2d3e4"
OTHER = "0123456789abcdef0123456789abcdef01234567"

_TRAIN = """\
import diffusers
import deepspeed
import torch
from tqdm import tqdm
import utils.saver

def main(config):
    steps = config.get('max_steps', None)
    rate = config.get('brand_new_rate', 0.25)
    return config['epochs'], config['model']['dtype'], 'micro_batch_size_per_gpu' in config
"""
_DATASET = """\
import sys, os
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../submodules/ComfyUI'))
from comfy_api.latest import InputImpl

def frames(video):
    return video.get_frame_count()
"""
_VIDEO = """\
class VideoFromFile(VideoInput):
    def get_duration(self):
        return 1
"""
_FRAME_COUNT = """
    def get_frame_count(self):
        return 1
"""
_TORCH = """\
__version__ = '2.9.0+cu128'
class version:
    cuda, hip = '12.8', None
class _C:
    _cuda_getArchFlags = staticmethod(lambda: 'sm_80 sm_86 sm_90 sm_120')
class distributed:
    is_nccl_available = staticmethod(lambda: True)
"""
_GITMODULES = """\
[submodule "submodules/ComfyUI"]
\tpath = submodules/ComfyUI
\turl = https://example.org/ComfyUI
[submodule "submodules/flow"]
\tpath = submodules/flow
\turl = https://example.org/flow
"""


class SampleInstallation:
    """An installation without problems, except those that a test makes."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "diffusion-pipe"
        self.python = directory / "env" / "bin" / "python"
        self.packages = directory / "env" / "lib" / "python3.12" / "site-packages"
        self.gpus = GPUNeeds(("8.9",), "13.0")
        self.clock = FakeClock()
        self._write_checkout()
        self.packages.mkdir(parents=True)
        self.python.parent.mkdir()
        self.set_version("3, 12, 4")
        self.add("torch", "2.9.0", _TORCH)
        for name, version in (
            ("deepspeed", "0.18.4"),
            ("diffusers", "0.35.1"),
            ("tqdm", "4.67"),
            ("flash_attn", "2.8.3"),
        ):
            self.add(name, version)
        self.add("transformer_engine", "2.0")
        self.add("nvcc", "1")
        (self.python.parent / "nvcc").write_text("")
        (self.python.parent / "nvcc").chmod(0o755)

    def run_as_python(self, script: str) -> None:
        """Replace the interpreter by a shell script."""
        self.python.write_text(f"#!/bin/sh\n{script}\n")
        self.python.chmod(0o755)

    def set_version(self, numbers: str) -> None:
        """Make the interpreter report this version."""
        (self.packages / "sitecustomize.py").write_text(f"import sys\nsys.version_info = ({numbers}, 'final', 0)\n")
        base = getattr(sys, "_base_executable", sys.executable)
        self.run_as_python(f'PYTHONPATH="{self.packages}" PATH="{self.python.parent}:$PATH" exec "{base}" -s "$@"')

    def add(self, name: str, version: str, code: str = "") -> None:
        (self.packages / name).mkdir(exist_ok=True)
        (self.packages / name / "__init__.py").write_text(code)
        metadata = self.packages / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        )

    def remove(self, name: str) -> None:
        for path in self.packages.glob(f"{name}*"):
            shutil.rmtree(path)

    def check_out(self, path: str, commit: str) -> None:
        """Put a submodule's commit into git's files."""
        git = self.root / path / ".git"
        git.mkdir(parents=True, exist_ok=True)
        (git / "HEAD").write_text(f"{commit}\n")

    def pin(self, path: str, commit: str) -> None:
        """Require this commit of a submodule."""
        self.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True, capture_output=True)

    def make_comfyui(self, *, counts_frames: bool) -> None:
        files = self.root / "submodules" / "ComfyUI" / "comfy_api" / "latest"
        for name, source in (("_input", ""), ("_input_impl", _VIDEO + (_FRAME_COUNT if counts_frames else ""))):
            (files / name).mkdir(parents=True, exist_ok=True)
            (files / name / "video_types.py").write_text(source)

    def create_check(self, seconds: float = 60.0) -> InstallationCheck:
        environment = {"PATH": "/usr/bin:/bin"}
        return InstallationCheck(
            TrainerLocation(self.root, str(self.python)),
            self.clock,
            environment,
            gpus=lambda: self.gpus,
            seconds=seconds,
        )

    def _write_checkout(self) -> None:
        for name in ("utils", "models"):
            (self.root / name).mkdir(parents=True)
        (self.root / "train.py").write_text(_TRAIN)
        (self.root / "utils" / "dataset.py").write_text(_DATASET)
        (self.root / "requirements.txt").write_text("deepspeed==0.18.4\ndiffusers>=0.35.1\ntqdm\n")
        (self.root / ".gitmodules").write_text(_GITMODULES)
        self.git("init", "--quiet")
        self.git("add", ".")
        self.make_comfyui(counts_frames=True)
        for path in ("submodules/ComfyUI", "submodules/flow"):
            self.check_out(path, PINNED)
            self.pin(path, PINNED)
