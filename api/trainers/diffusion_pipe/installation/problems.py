"""Judge what was found about the trainer's installation: each problem with the command that fixes it."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.domain.machines.installation import InstallationProblem, ProblemSeverity, Submodule, SubmoduleState
from api.errors import Finding
from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode
from api.trainers.diffusion_pipe.installation.facts import InterpreterFacts
from api.trainers.diffusion_pipe.installation.submodules import COMFYUI
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS, MODELS

#: The oldest Python with sqlite3's `autocommit`, which the trainer's cache uses: an older one hangs while caching.
OLDEST_PYTHON = (3, 12)

#: Shared memory in MB below which NCCL and data loaders fail with SIGBUS; containers have 64 by default.
_LEAST_SHM_MB = 512

_VIDEO_TYPES = tuple(sorted(name for name, facts in MODELS.items() if facts.framerate is not None))
_FLASH_ATTENTION = "flash-attn"
_TRANSFORMER_ENGINE = "transformer_engine"
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)", re.ASCII)


_NO_CHECKOUT = Finding(
    "/model_type",
    "The trainer diffusion-pipe is not set up on this machine.",
    "Set DIFFUSION_PIPE_ROOT to its checkout, the directory with train.py.",
    "trainer_not_found",
    remedy_code="trainer_not_found_remedy",
)
_NO_INTERPRETER = Finding(
    "/model_type",
    "The Python interpreter of the trainer diffusion-pipe is not configured.",
    "Set DIFFUSION_PIPE_PYTHON to the interpreter of its environment, such as /path/to/venv/bin/python.",
    "interpreter_not_found",
    remedy_code="interpreter_not_found_remedy",
)


#: Commands for what is missing, by code.
COMMANDS = {
    "trainer_not_found": "git clone --recurse-submodules https://github.com/tdrussell/diffusion-pipe",
    "interpreter_not_found": "python3.12 -m venv venv && venv/bin/python -m pip install torch torchvision torchaudio",
}


@dataclass(frozen=True, slots=True)
class GPUNeeds:
    """What torch must support on the machines of this service."""

    capabilities: tuple[str, ...] = ()  #: compute capabilities of the GPUs, such as 8.9
    driver_cuda: str | None = None  #: the newest CUDA version that the driver supports
    are_simulated: bool = False  #: nothing runs on them, so that a build without CUDA is no obstacle


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found."""

    root: Path
    python: str
    facts: InterpreterFacts | None = None
    failure: str | None = None  #: why the trainer's Python printed no facts
    is_broken: bool = False  #: whether it ended or did not start, so that a training would fail, too
    code: TrainerCode = field(default_factory=TrainerCode)
    submodules: tuple[Submodule, ...] = ()
    common_submodules: frozenset[str] = frozenset()  #: those that every type needs
    counts_frames: bool | None = None
    shm_free_mb: int | None = None


def find_missing(root: Path | None, python: str | None) -> tuple[Finding, ...]:
    """Return which of the checkout and the interpreter is missing. Starts nothing."""
    found = []
    if root is None or not _is_file(root / "train.py"):
        found.append(_NO_CHECKOUT)
    if python is None or not _is_executable(python):
        found.append(_NO_INTERPRETER)
    return tuple(found)


def find_problems(found: Found, gpus: GPUNeeds) -> tuple[InstallationProblem, ...]:
    """Return the problems, errors first."""
    problems = [*_checkout_problems(found), *_machine_problems(found)]
    if found.failure is not None and found.is_broken:
        message = f"The trainer's Python does not work. {found.failure}"
        problems.append(_error("python_broken", message, _new_environment(found)))
    elif found.failure is not None:
        message = f"The trainer's Python could not be checked. {found.failure}"
        command = f"time {_python(found)} -c 'import torch'"
        problems.append(_warning("check_failed", message, command))
    elif (facts := found.facts) is not None:
        problems += [*_python_problems(found, facts), *_torch_problems(found, facts, gpus)]
        problems += [*_package_problems(found, facts), *_flash_attention_problems(found, facts)]
        if facts.nvcc is None:
            message = "CUDA's compiler nvcc was not found; DeepSpeed needs it to build its own operations."
            problems.append(_warning("nvcc_missing", message, "sudo apt-get install nvidia-cuda-toolkit"))
    return tuple(sorted(problems, key=lambda problem: problem.severity is not ProblemSeverity.ERROR))


def _python_problems(found: Found, facts: InterpreterFacts) -> Iterator[InstallationProblem]:
    numbers = tuple(int(part) for part in (facts.python or "").split(".") if part.isdecimal())
    if numbers and numbers < OLDEST_PYTHON:
        yield _error(
            "python_too_old",
            f"The trainer's Python is {facts.python}, and it needs 3.12 or newer: an older one hangs while it caches.",
            _new_environment(found),
        )


def _torch_problems(found: Found, facts: InterpreterFacts, gpus: GPUNeeds) -> Iterator[InstallationProblem]:
    torch, cuda = facts.torch, facts.cuda
    install = _pip(found, "install --force-reinstall torch torchvision torchaudio")
    if torch is None:
        message = "PyTorch is not installed in the trainer's environment."
        yield _error("torch_missing", message, install.replace(" --force-reinstall", ""))
    elif facts.torch_error is not None:
        message = f"PyTorch {torch} cannot be imported: {facts.torch_error}"
        yield _error("torch_broken", message, install)
    elif cuda is None and facts.hip is None:
        message = f"PyTorch {torch} is built without CUDA, so that it cannot use a GPU."
        severity = ProblemSeverity.WARNING if gpus.are_simulated else ProblemSeverity.ERROR
        yield InstallationProblem("torch_without_cuda", severity, message, install)
    elif cuda is not None:
        yield from _gpu_problems(facts, gpus, cuda, install)
        if facts.nccl is False:
            message = f"PyTorch {torch} is built without NCCL, through which GPUs exchange data."
            yield _error("nccl_missing", message, install)


def _gpu_problems(facts: InterpreterFacts, gpus: GPUNeeds, cuda: str, install: str) -> Iterator[InstallationProblem]:
    if _major(gpus.driver_cuda) is not None and (_major(cuda) or 0) > (_major(gpus.driver_cuda) or 0):
        yield _error(
            "driver_too_old",
            f"PyTorch is built for CUDA {cuda}, and the driver supports CUDA {gpus.driver_cuda} at most: update the "
            "driver, or install PyTorch for that CUDA.",
            "sudo apt-get install cuda-drivers && sudo reboot",
        )
    lacking = [one for one in gpus.capabilities if facts.architectures and not supports(facts.architectures, one)]
    if lacking:
        every = set(lacking) == set(gpus.capabilities)
        whose = "the GPUs" if every else "some of the GPUs"
        yield InstallationProblem(
            "gpu_not_supported",
            ProblemSeverity.ERROR if every else ProblemSeverity.WARNING,
            f"PyTorch {facts.torch} does not support {whose} of this service, with compute capability "
            f"{', '.join(lacking)}: install a version that does.",
            install,
        )


def supports(architectures: Sequence[str], capability: str) -> bool:
    """Return whether torch, built for these architectures, runs on a GPU with this compute capability."""
    major, _, minor = capability.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        return True
    wanted = (int(major), int(minor))
    for name in architectures:
        if (found := _ARCHITECTURE.fullmatch(name)) is None:
            continue
        built = (int(found[2]), int(found[3]))
        # Machine code runs on later GPUs of the same major version, intermediate code on all later ones, and code
        # with features of one architecture (`a`) only there.
        if built == wanted:
            return True
        if found[4] != "a" and built <= wanted and (found[1] == "compute" or built[0] == wanted[0]):
            return True
    return False


def _package_problems(found: Found, facts: InterpreterFacts) -> Iterator[InstallationProblem]:
    pinned = found.code.requirements.get("deepspeed")
    name = "deepspeed" if pinned is None else f"deepspeed=={pinned}"
    if "deepspeed" in facts.absent:
        message = "DeepSpeed, which starts the trainer, is not installed in its environment."
        yield _error("deepspeed_missing", message, _pip(found, f"install {name}"))
    elif pinned is not None and facts.deepspeed is not None and facts.deepspeed.partition("+")[0] != pinned:
        message = f"DeepSpeed is {facts.deepspeed}, and this checkout requires {pinned}."
        yield _warning("deepspeed_version", message, _pip(found, f"install {name}"))
    needed = sorted(facts.absent.intersection(found.code.imports) - {"deepspeed", "torch"})
    if needed:
        unlisted = [module for module in needed if module in ("torchvision", "torchaudio")]
        arguments = " ".join(["install", *unlisted, "-r", _requirements(found)])
        message = f"The trainer imports modules that are not installed: {', '.join(needed)}."
        yield _error("package_missing", message, _pip(found, arguments))
    if _TRANSFORMER_ENGINE in facts.absent:
        message = "Transformer Engine is not installed."
        command = _pip(found, "install --no-build-isolation 'transformer_engine[pytorch]'")
        types = _types_needing(_TRANSFORMER_ENGINE)
        yield _error("transformer_engine_missing", message, command, types)


def _flash_attention_problems(found: Found, facts: InterpreterFacts) -> Iterator[InstallationProblem]:
    types = _types_needing(_FLASH_ATTENTION)
    if not facts.has_flash_attention:
        message = "flash-attn is not installed."
        code, options = "flash_attention_missing", "--no-build-isolation"
    elif facts.flash_attention_error is not None:
        message = f"flash-attn does not fit the installed PyTorch: {facts.flash_attention_error}"
        code, options = "flash_attention_broken", "--no-build-isolation --no-cache-dir --force-reinstall --no-deps"
    else:
        return
    command = _pip(found, f"install {options} {_FLASH_ATTENTION}")
    yield InstallationProblem(code, ProblemSeverity.ERROR, message, command, types)


def _checkout_problems(found: Found) -> Iterator[InstallationProblem]:
    for submodule in found.submodules:
        path = submodule.path
        if submodule.state is SubmoduleState.MISSING:
            types = None if path in found.common_submodules else _types_needing(path)
            if types == ():
                continue
            message = f"The submodule {path} is not checked out."
            command = _update(found, path)
            yield _error("submodule_missing", message, command, types)
    if found.counts_frames is False:
        yield _warning(
            "comfyui_too_old",
            "The submodule ComfyUI is too old for this checkout: the trainer skips every video and trains on images "
            "only.",
            _update(found, COMFYUI),
            _VIDEO_TYPES,
        )
    other = [each.path for each in found.submodules if each.state is SubmoduleState.OTHER_COMMIT]
    if other:
        message = f"Submodules are not at the commit that this checkout requires: {', '.join(other)}."
        yield _warning("submodule_other_commit", message, _update(found, *other))


def _machine_problems(found: Found) -> Iterator[InstallationProblem]:
    if found.shm_free_mb is not None and found.shm_free_mb < _LEAST_SHM_MB:
        yield _warning(
            "shm_small",
            f"Only {found.shm_free_mb} MB of /dev/shm are free; trainings on several GPUs need more, or they end with "
            "SIGBUS. Start a container with --shm-size=8g.",
            "sudo mount -o remount,size=8G /dev/shm",
        )


def _error(code: str, message: str, command: str, types: tuple[str, ...] | None = None) -> InstallationProblem:
    return InstallationProblem(code, ProblemSeverity.ERROR, message, command, types)


def _warning(code: str, message: str, command: str, types: tuple[str, ...] | None = None) -> InstallationProblem:
    return InstallationProblem(code, ProblemSeverity.WARNING, message, command, types)


def _types_needing(need: str) -> tuple[str, ...]:
    return tuple(sorted(name for name, model in DESCRIPTIONS.items() if need in model.needs))


def _update(found: Found, *paths: str) -> str:
    root = shlex.quote(str(found.root))
    return f"git -C {root} submodule update --init --recursive {' '.join(map(shlex.quote, paths))}"


def _pip(found: Found, arguments: str) -> str:
    without = found.facts is not None and "pip" in found.facts.absent
    return f"{f'{_python(found)} -m ensurepip && ' if without else ''}{_python(found)} -m pip {arguments}"


def _new_environment(found: Found) -> str:
    """Return the command that makes an environment beside the present one, and prints the setting for it."""
    present = Path(found.python).parent.parent
    python = shlex.quote(f"{present}-3.12/bin/python")
    return (
        f"python3.12 -m venv {shlex.quote(f'{present}-3.12')} && {python} -m pip install torch torchvision torchaudio "
        f"-r {_requirements(found)} && echo DIFFUSION_PIPE_PYTHON={python}"
    )


def _python(found: Found) -> str:
    return shlex.quote(found.python)


def _requirements(found: Found) -> str:
    return shlex.quote(str(found.root / "requirements.txt"))


def _major(version: str | None) -> int | None:
    first = (version or "").partition(".")[0]
    return int(first) if first.isdecimal() else None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_executable(python: str) -> bool:
    try:
        return os.path.isfile(python) and os.access(python, os.X_OK)
    except ValueError:
        return False
