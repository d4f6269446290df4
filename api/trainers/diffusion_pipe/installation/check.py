"""Check the trainer's installation in the background, and whenever its files change."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock

from api.domain.machines.installation import InstallationProblem, ProblemSeverity, TrainerInstallation
from api.domain.reason import Reason
from api.errors import Finding
from api.executors.bounded_program import ProgramOutput, run_bounded
from api.trainers.diffusion_pipe.config.checkout import find_git_directory, read_commit
from api.trainers.diffusion_pipe.config.trainer_code import TrainerCode, read_code
from api.trainers.diffusion_pipe.installation import program
from api.trainers.diffusion_pipe.installation.facts import read_facts
from api.trainers.diffusion_pipe.installation.problems import (
    COMMANDS,
    Found,
    GPUNeeds,
    find_missing,
    find_problems,
)
from api.trainers.diffusion_pipe.installation.submodules import counts_frames, find_named, list_paths, read_submodules
from api.util.clock import Clock
from api.util.periodic import PeriodicThread
from api.util.text.masking import mask_secrets

logger = logging.getLogger(__name__)

#: Seconds between two looks at the files of the installation.
WATCH_SECONDS = 15.0

#: Seconds after which a check with errors is repeated: an import can fail for lack of memory, for example.
AGAIN_SECONDS = 300.0

#: Limits of the program; importing torch from a cold network file system can take a minute.
PROBE_SECONDS = 180.0
PROBE_BYTES = 1024 * 1024

#: Seconds in which a Python that a user chooses prints its version; a slower one is left to the check.
_VERSION_SECONDS = 5.0

#: Variables of the program: no GPU gets a context, and nothing is written.
_FIXED = {"CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}

_SHM = "/dev/shm"  # noqa: S108
_MIB = 1024 * 1024

#: Warnings that concern what a training does with its data or its GPUs; other warnings are about the machine.
_IN_REQUESTS = frozenset({"comfyui_too_old", "gpu_not_supported", "torch_without_cuda"})

#: Modules and distributions that are looked for besides those that the checkout's code names.
_MODULES = ("deepspeed", "pip", "transformer_engine")
_DISTRIBUTIONS = ("deepspeed",)

#: Returns the command and environment of a program as the user of trainings.
AsUser = Callable[[Sequence[str], Mapping[str, str]], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True, slots=True)
class TrainerLocation:
    """Where the trainer is installed. None: not configured."""

    root: Path | None = None  #: its checkout
    python: str | None = None  #: the interpreter of its environment


class InstallationCheck:
    """Knows what the last check found. Only `check` starts a process; all else reads memory or a few files."""

    def __init__(
        self,
        location: TrainerLocation,
        clock: Clock,
        environment: Mapping[str, str],
        *,
        gpus: Callable[[], GPUNeeds] = GPUNeeds,
        as_user: AsUser | None = None,
        seconds: float = PROBE_SECONDS,
        is_automatic: bool = True,
    ) -> None:
        """`environment` is that of trainings. `gpus` returns what the machines need. The program ends in `seconds`.

        Unless `is_automatic`, the thread checks on request only.
        """
        self._clock = clock
        self._environment = dict(environment)
        self._gpus = gpus
        self._as_user = as_user
        self._seconds = seconds
        self._is_automatic = is_automatic
        self._set_location(location)
        self._logged: frozenset[InstallationProblem] = frozenset()
        self._seen: Sequence[object] | None = None
        self._checked_monotonic = 0.0
        self._requested = Event()
        self._lock = Lock()
        self._thread = PeriodicThread("trainer-check", WATCH_SECONDS if is_automatic else None, self.check_if_due)

    def _set_location(self, location: TrainerLocation) -> None:
        root, python = location.root, location.python
        self._root, self._python = None if root is None else root.absolute(), python
        self._found: Found | None = None
        self._last = TrainerInstallation(None if root is None else str(self._root), python)

    def locate(self, location: TrainerLocation) -> None:
        """Check this location from now on; a check that runs is followed by another one."""
        self._set_location(location)
        self.request()

    def require_python(self, path: str) -> None:
        """Raise ValueError if a program ends without printing a Python's version. A slow one is left to `check`."""
        if not self._is_automatic:
            return
        output = self._run_as_user([path, "-V"], Path("/"), Path(os.devnull), _VERSION_SECONDS)
        if output.ended and not output.text.startswith("Python "):
            raise ValueError("is not a Python: choose that of the trainer's environment, such as venv/bin/python")

    def start(self) -> None:
        """Start the thread, which checks at once and after each change."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread without waiting for a check that runs."""
        self._thread.stop(timeout=0.5)

    def request(self) -> TrainerInstallation:
        """Have the thread check again, and return what is known now."""
        self._requested.set()
        self._thread.trigger()
        return self.last

    def check_if_due(self) -> None:
        """Check if a check was requested, the files have changed, or problems may have passed by themselves."""
        age = self._clock.monotonic() - self._checked_monotonic
        is_due = age > AGAIN_SECONDS and any(problem.severity is ProblemSeverity.ERROR for problem in self.problems())
        if self._requested.is_set() or is_due or self._fingerprint() != self._seen:
            self.check()
            self._log()

    def check(self) -> TrainerInstallation:
        """Check now, which takes seconds, and return the result."""
        with self._lock:
            self._last = replace(self._last, is_checking=True)
            self._requested.clear()
            # Read before, so that a change during the check causes another one.
            self._seen = self._fingerprint()
            try:
                root, python = self._root, self._python
                found = None if root is None or python is None else self._find(root, python)
                # A location that was set meanwhile is checked next.
                if found is not None and (root, python) == (self._root, self._python):
                    self._found, self._last = found, self._describe(found)
            finally:
                self._checked_monotonic = self._clock.monotonic()
                self._last = replace(self._last, is_checking=False)
        return self.last

    def _log(self) -> None:
        """Log new problems that concern all types; the others are no news where those types are not trained."""
        now = frozenset(problem for problem in self.problems() if problem.model_types is None)
        if self._root is None and self._python is None:
            if now != self._logged:
                logger.info(
                    "diffusion-pipe is not set up: choose it on the page under Setup, or set DIFFUSION_PIPE_ROOT and "
                    "DIFFUSION_PIPE_PYTHON; until then only toy trainings can start"
                )
            self._logged = now
            return
        for problem in now - self._logged:
            logger.warning(
                "the trainer's installation has a problem",
                extra={"code": problem.code, "problem": problem.message, "command": problem.command},
            )
        self._logged = now

    @property
    def last(self) -> TrainerInstallation:
        """The result of the last check, judged for the present GPUs."""
        problems = self.problems()
        is_known = self._found is not None and self._found.failure is None
        ready = False if any(map(_blocks_all, problems)) else True if is_known else None
        return replace(
            self._last, problems=problems, ready=ready, is_checking=self._last.is_checking or self._requested.is_set()
        )

    @property
    def code(self) -> TrainerCode:
        """What the checkout's code reads; empty before the first check."""
        return TrainerCode() if self._found is None else self._found.code

    def problems(self) -> tuple[InstallationProblem, ...]:
        """Return the problems; none before the first check, because unknown is no reason to refuse anything."""
        if missing := find_missing(self._root, self._python):
            return tuple(_as_problem(finding) for finding in missing)
        return () if self._found is None else find_problems(self._found, self._gpus())

    def findings(self) -> tuple[Finding, ...]:
        """Return the errors that prevent trainings of all types."""
        return tuple(as_finding(problem) for problem in self.problems() if _blocks_all(problem))

    def findings_for(self, model_type: str) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """Return the errors and the warnings about a training of this type."""
        concerned = [problem for problem in self.problems() if problem.concerns(model_type)]
        errors = [problem for problem in concerned if problem.severity is ProblemSeverity.ERROR]
        warnings = [
            each for each in concerned if each.severity is ProblemSeverity.WARNING and each.code in _IN_REQUESTS
        ]
        return tuple(map(as_finding, errors)), tuple(map(as_finding, warnings))

    def _find(self, root: Path, python: str) -> Found:
        code = read_code(root)
        output = self._run(root, python, code)
        facts = read_facts(output.text)
        return Found(
            root,
            python,
            facts=facts,
            failure=None if facts is not None else _explain(output),
            is_broken=output.ended,
            code=code,
            submodules=read_submodules(root),
            common_submodules=find_named(root),
            counts_frames=counts_frames(root),
            shm_free_mb=_free_mb(_SHM),
        )

    def _run(self, root: Path, python: str, code: TrainerCode) -> ProgramOutput:
        modules = sorted({*code.imports, *_MODULES})
        argv = [python, "-u", "-", *_DISTRIBUTIONS, "--", *modules]
        return self._run_as_user(argv, root, Path(program.__file__), self._seconds)

    def _run_as_user(self, argv: Sequence[str], directory: Path, script: Path, seconds: float) -> ProgramOutput:
        environment: Mapping[str, str] = {**self._environment, **_FIXED}
        if self._as_user is not None:
            argv, environment = self._as_user(argv, environment)
        return run_bounded(argv, environment, directory, script, seconds, PROBE_BYTES)

    def _describe(self, found: Found) -> TrainerInstallation:
        facts, known = found.facts, TrainerInstallation(str(found.root), found.python)
        if facts is not None:
            known = replace(
                known,
                python=facts.python,
                torch=facts.torch,
                cuda=facts.cuda,
                gpu_architectures=facts.architectures,
                deepspeed=facts.deepspeed,
                flash_attention=facts.flash_attention,
                nccl=facts.nccl,
                nvcc=facts.nvcc,
            )
        return replace(
            known,
            commit=read_commit(found.root),
            shm_free_mb=found.shm_free_mb,
            submodules=found.submodules,
            new_keys=found.code.new_keys(),
            is_checking=True,
            checked_at=self._clock.now(),
        )

    def _fingerprint(self) -> Sequence[object]:
        """Return values that change when the interpreter, its packages or the checkout change."""
        if self._root is None or self._python is None:
            return ()
        # Not resolved: an environment's interpreter is a link, and its packages are beside the link.
        environment = Path(os.path.abspath(self._python)).parent.parent
        paths = [
            Path(self._python),
            environment / "pyvenv.cfg",
            *sorted(environment.glob("lib/python3*/site-packages")),
        ]
        checkout = [self._root / name for name in ("train.py", "requirements.txt", "utils", "models", ".gitmodules")]
        with suppress(OSError, ValueError):
            checkout.append(find_git_directory(self._root) / "index")
        commits = [read_commit(self._root / path) for path in ("", *list_paths(self._root))]
        return [*(_identify(path) for path in [*paths, *checkout]), *commits]


def as_finding(problem: InstallationProblem) -> Finding:
    """Return the problem as a finding about a request's model type."""
    if problem.command is None:
        return Finding("/model_type", problem.message, None, problem.code)
    remedy = Reason.of("Have the operator run: {command}", "advice_run", command=problem.command)
    return Finding(
        "/model_type", problem.message, remedy.text, problem.code, remedy.said.params, remedy_code=remedy.said.code
    )


def _as_problem(finding: Finding) -> InstallationProblem:
    message = " ".join(filter(None, [finding.message, finding.remedy]))
    return InstallationProblem(finding.code or "", ProblemSeverity.ERROR, message, COMMANDS.get(finding.code or ""))


def _explain(output: ProgramOutput) -> str:
    ending = output.problem or "It printed no result."
    lines = [line for line in output.text[-2000:].splitlines() if line.strip().isprintable() and line.strip()]
    return f"{ending} Its last line: {mask_secrets(lines[-1].strip())[-200:]}" if lines else ending


def _blocks_all(problem: InstallationProblem) -> bool:
    return problem.severity is ProblemSeverity.ERROR and problem.model_types is None


def _identify(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _free_mb(path: str) -> int | None:
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize // _MIB
