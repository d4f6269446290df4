"""The command `check-trainer`: checks the trainer's environment, whether or not the service runs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from api.composition.composition import prepare_trainer_user
from api.composition.gpu_source import create_source
from api.composition.installation import build_installation_check, read_needs
from api.config import ConfigError, program, read_config, refuse
from api.domain.machines.installation import ProblemSeverity, TrainerInstallation
from api.util.clock import SystemClock

_USAGE = """\
usage: {program} check-trainer [--json] [settings]

Checks the environment of diffusion-pipe in its own Python, and prints each problem with the command that fixes it.
Exit code: 0 if trainings can start, 1 if a problem prevents them, 2 for an invalid setting.
Settings, such as --diffusion-pipe-root and --diffusion-pipe-python: see {program} --help."""


def run_check_trainer_command(argv: Sequence[str]) -> int:
    """Check the trainer's environment and print the result. Returns the exit code."""
    if "-h" in argv or "--help" in argv:
        print(_USAGE.format(program=program()))
        return 0
    try:
        config = read_config(argv=[argument for argument in argv if argument != "--json"])
        clock = SystemClock()
        needs = read_needs(create_source(config, clock))
        check = build_installation_check(config, clock, lambda: needs, prepare_trainer_user(config))
    except ConfigError as error:
        return refuse(error, 2)
    found = check.check()
    print(json.dumps(asdict(found), default=str, indent=2) if "--json" in argv else describe(found))
    return 1 if any(problem.severity is ProblemSeverity.ERROR for problem in found.problems) else 0


def describe(found: TrainerInstallation) -> str:
    """Return the result as lines for a terminal."""
    known = {
        "Checkout": " at ".join(filter(None, [found.root, found.commit])) or None,
        "Python": " ".join(filter(None, [found.python, found.interpreter])) or None,
        "PyTorch": found.torch,
        "CUDA": found.cuda,
        "DeepSpeed": found.deepspeed,
        "flash-attn": found.flash_attention,
        "nvcc": found.nvcc,
        "Shared memory": None if found.shm_free_mb is None else f"{found.shm_free_mb} MB free",
    }
    lines = [f"{name}: {value or '-'}" for name, value in known.items()]
    lines += [f"{each.path}: {each.state.value.replace('_', ' ')}" for each in found.submodules]
    for problem in found.problems:
        types = "" if problem.model_types is None else f" (for {', '.join(problem.model_types)})"
        lines += ["", f"{problem.severity.value}: {problem.message}{types}"]
        if problem.command is not None:
            lines.append(f"    {problem.command}")
    if not found.problems:
        lines += ["", "No problems were found."]
    return "\n".join(lines)
