"""Find out what a new installation still needs. It reads memory, the database and directories, and starts nothing."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from api.config import Config
from api.domain.access.principal import Permission, Principal
from api.domain.machines.installation import ProblemSeverity, TrainerInstallation
from api.domain.reason import Reason, ReasonCode
from api.system.views import RunTimeSettingView, SettingValue, SetupChecklist, SetupState, SetupStep
from api.util.clock import Clock

#: Seconds for which the search for models is used again; it walks all of their directories.
_MODELS_SECONDS = 15.0

#: The most directories that are searched for a checkout of the trainer.
_MOST_SEARCHED = 500

#: The most directories of one directory in which weights are searched.
_MOST_MODELS = 50

#: Hidden directories of environments in a home directory.
_ENVIRONMENTS = (".conda/envs", ".virtualenvs", ".pyenv/versions")

_MISSING_TRAINER = ("trainer_not_found", "interpreter_not_found")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupSources:
    """Functions that return the present state."""

    config: Callable[[], Config]
    settings: Callable[[], tuple[RunTimeSettingView, ...]]
    installation: Callable[[], TrainerInstallation]
    count_weights: Callable[[], int]  #: files with weights in the directories of models
    model_directories: Callable[[], tuple[Path, ...]]
    count_datasets: Callable[[], int]
    has_read_data: Callable[[], bool]  #: whether a training was given a dataset or a directory
    count_completed: Callable[[], int]  #: trainings
    channels: Callable[[], list[str]]  #: the enabled ones
    count_keys: Callable[[], int]  #: the valid ones
    can_sign_in: bool  #: whether users sign in by OpenID Connect


class SetupService:
    """The checklist."""

    def __init__(self, sources: SetupSources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._lock = threading.Lock()
        self._weights: tuple[tuple[Path, ...], int, float] | None = None

    def get(self, principal: Principal) -> SetupChecklist:
        """Return every step as this user may see it."""
        may_change = principal.may(Permission.SYSTEM_WRITE)
        steps = [self._shown(step, may_change) for step in self._steps()]
        open_states = (SetupState.MISSING, SetupState.PROBLEM)
        return SetupChecklist(not any(step.state in open_states for step in steps), tuple(steps))

    def _shown(self, step: SetupStep, may_change: bool) -> SetupStep:
        if not may_change:
            return replace(step, command=None, settings=(), suggestions={})
        if not step.settings:
            return step
        fixed = {each.key: each.fixed_by for each in self._sources.settings()}
        by = next((by for key in step.settings if (by := fixed.get(key)) is not None), None)
        usable = tuple(key for key in step.settings if fixed.get(key) is None)
        suggestions = {key: value for key, value in step.suggestions.items() if key in usable}
        return replace(step, settings=usable, fixed_by=by, suggestions=suggestions)

    def _steps(self) -> Iterator[SetupStep]:
        yield self._trainer()
        yield self._models()
        yield self._captions()
        yield self._dataset()
        yield self._first_training()
        yield self._notifications()
        yield self._access()

    def _trainer(self) -> SetupStep:
        settings = ("DIFFUSION_PIPE_ROOT", "DIFFUSION_PIPE_PYTHON")
        found = self._sources.installation()
        errors = [each for each in found.problems if each.severity is ProblemSeverity.ERROR and not each.model_types]
        if errors:
            first = errors[0]
            is_missing = first.code in _MISSING_TRAINER
            step = _step(
                "trainer",
                SetupState.MISSING if is_missing else SetupState.PROBLEM,
                Reason(first.message, ReasonCode(first.code)),
                _CHOOSE_TRAINER if is_missing else _REPAIR_TRAINER,
                settings,
            )
            suggestions = self._suggest_trainer(found)
            # What was found need not be installed.
            command = None if is_missing and suggestions else first.command
            return replace(step, command=command, suggestions=suggestions)
        if found.ready is None:
            unchecked = Reason.of("The trainer's environment has not been checked yet.", "setup_trainer_unchecked")
            is_coming = found.is_checking or self._sources.config().trainer_check
            state = SetupState.CHECKING if is_coming else SetupState.OPTIONAL
            fix = Reason.of("Check it now.", "setup_trainer_unchecked_fix")
            return _step("trainer", state, unchecked, None if is_coming else fix, settings)
        return _step("trainer", SetupState.DONE, Reason.of("The trainer works.", "setup_trainer_works"), None, settings)

    def _suggest_trainer(self, found: TrainerInstallation) -> dict[str, SettingValue]:
        """Return a checkout in a directory that may be browsed, and the Python of an environment for it."""
        suggestions: dict[str, SettingValue] = {}
        root = found.root
        if root is None:
            near = (
                path
                for start in self._sources.config().browse_roots
                for path in (start, *_search(start, "diffusion-pipe"))
            )
            root = next((str(path) for path in islice(near, _MOST_SEARCHED) if _is_checkout(path)), None)
            if root is not None:
                suggestions["DIFFUSION_PIPE_ROOT"] = root
        if root is not None and found.interpreter is None:
            own = (Path(root) / name for name in ("venv", ".venv"))
            environment = next((each for each in own if os.access(each / "bin" / "python", os.X_OK)), None)
            if environment is None:
                environment = next((each for each in self._list_environments() if _has_deepspeed(each)), None)
            if environment is not None:
                suggestions["DIFFUSION_PIPE_PYTHON"] = str(environment / "bin" / "python")
        return suggestions

    def _list_environments(self) -> Iterator[Path]:
        """Yield directories that may be Python environments: in those that may be browsed, or of conda and pyenv."""
        for start in self._sources.config().browse_roots:
            for path in islice(_search(start, "envs"), _MOST_SEARCHED):
                yield path
                if path.name == "envs":
                    yield from _list_directories(path)
            for kind in _ENVIRONMENTS:
                yield from _list_directories(start / kind)

    def _models(self) -> SetupStep:
        directories, settings = self._sources.model_directories(), ("MODELS_DIRECTORIES",)
        # The first one is the service's own, which the first download creates.
        if not all(each.is_dir() for each in directories[1:]):
            gone = Reason.of("A folder of models does not exist.", "setup_models_gone")
            fix = Reason.of("Correct the folders, or mount the disk.", "setup_models_gone_fix")
            return _step("models", SetupState.PROBLEM, gone, fix, settings)
        if self._count_weights(directories):
            there = Reason.of("There are model files.", "setup_models_there")
            return _step("models", SetupState.DONE, there, None, settings)
        missing = Reason.of("There are no model files.", "setup_models_missing")
        fix = Reason.of("Choose a folder with models, or download one.", "setup_models_missing_fix")
        step = _step("models", SetupState.MISSING, missing, fix, settings)
        return replace(step, suggestions=self._suggest_models())

    def _suggest_models(self) -> dict[str, SettingValue]:
        """Return a directory with weights among those that may be browsed."""
        near = (path for start in self._sources.config().browse_roots for path in _search(start, "models"))
        # A directory of that name comes first.
        found = sorted(islice(near, _MOST_SEARCHED), key=lambda path: path.name != "models")
        folder = next((str(path) for path in found if _has_weights(path)), None)
        return {} if folder is None else {"MODELS_DIRECTORIES": [folder]}

    def _count_weights(self, directories: tuple[Path, ...]) -> int:
        with self._lock:
            now, known = self._clock.monotonic(), self._weights
            if known is None or known[0] != directories or now - known[2] > _MODELS_SECONDS:
                known = self._weights = (directories, self._sources.count_weights(), now)
            return known[1]

    def _captions(self) -> SetupStep:
        config = self._sources.config()
        settings = ("CAPTION_ENDPOINT", "CAPTION_MODEL", "CAPTION_KEY")
        if config.caption_command or (config.caption_endpoint and config.caption_model):
            ready = Reason.of("Captions can be written by a model.", "setup_captions_ready")
            return _step("captions", SetupState.DONE, ready, None, settings)
        fix = Reason.of(
            "Enter the address and the name of a vision model, such as `http://127.0.0.1:11434/v1` for Ollama.",
            "setup_captions_fix",
        )
        if config.caption_endpoint:
            nameless = Reason.of("The address of a vision model is set, but no model.", "setup_captions_nameless")
            return _step("captions", SetupState.PROBLEM, nameless, fix, settings)
        missing = Reason.of("No vision model is set, so no captions can be generated.", "setup_captions_missing")
        return _step("captions", SetupState.OPTIONAL, missing, fix, settings)

    def _dataset(self) -> SetupStep:
        if self._sources.count_datasets():
            return _step("dataset", SetupState.DONE, Reason.of("There is a dataset.", "setup_dataset_there"))
        if self._sources.has_read_data():
            used = Reason.of("A training has used a directory of this server.", "setup_dataset_used")
            return _step("dataset", SetupState.DONE, used)
        missing = Reason.of("There is no dataset.", "setup_dataset_missing")
        fix = Reason.of(
            "Choose a folder of this server with pictures or videos and their captions, or upload them.",
            "setup_dataset_missing_fix",
        )
        return _step("dataset", SetupState.MISSING, missing, fix)

    def _first_training(self) -> SetupStep:
        if self._sources.count_completed():
            done = Reason.of("A training has completed.", "setup_training_done")
            return _step("first_training", SetupState.DONE, done)
        missing = Reason.of("No training has completed yet.", "setup_training_missing")
        fix = Reason.of(
            "Start one, or try the built-in toy: it needs no model and takes seconds.", "setup_training_missing_fix"
        )
        return _step("first_training", SetupState.MISSING, missing, fix)

    def _notifications(self) -> SetupStep:
        settings = ("NOTIFY_URL",)
        if self._sources.channels():
            ready = Reason.of("Alerts and finished trainings are sent to a channel.", "setup_notifications_ready")
            return _step("notifications", SetupState.DONE, ready, None, settings)
        missing = Reason.of("No channel is set: messages are shown on this page only.", "setup_notifications_missing")
        fix = Reason.of(
            "Add a channel, or enter an Apprise address, such as `ntfys://ntfy.sh/` with a topic of your own for the"
            " app ntfy.",
            "setup_notifications_fix",
        )
        return _step("notifications", SetupState.OPTIONAL, missing, fix, settings)

    def _access(self) -> SetupStep:
        if not self._sources.config().needs_keys:
            off = Reason.of("No keys are required: every user of this machine may do everything.", "setup_access_off")
            fix = Reason.of(
                "If others use the service, set `AUTH=required` in its environment, and restart it.",
                "setup_access_off_fix",
            )
            return _step("access", SetupState.OPTIONAL, off, fix)
        if self._sources.can_sign_in or self._sources.count_keys() > 1:
            return _step("access", SetupState.DONE, Reason.of("Other users can sign in.", "setup_access_ready"))
        alone = Reason.of("Only the administrator has a key.", "setup_access_alone")
        fix = Reason.of("Create a key for each other user.", "setup_access_alone_fix")
        return _step("access", SetupState.OPTIONAL, alone, fix)


_CHOOSE_TRAINER = Reason.of(
    "Choose the checkout of diffusion-pipe and the Python with its packages, or install them.", "setup_trainer_choose"
)
_REPAIR_TRAINER = Reason.of("Run the command, or choose another checkout or Python.", "setup_trainer_repair")


def _step(
    name: str, state: SetupState, message: Reason, fix: Reason | None = None, settings: tuple[str, ...] = ()
) -> SetupStep:
    text, code = (None, None) if fix is None else (fix.text, fix.said)
    return SetupStep(name, state, message.text, message.said, text, code, settings=settings)


def _search(start: Path, name: str) -> Iterator[Path]:
    """Yield the visible directories in a directory, and those of this name in them."""
    for first in _list_directories(start):
        yield first
        yield first / name


def _list_directories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            found = islice(entries, _MOST_SEARCHED)
            names = [
                each.name for each in found if not each.name.startswith(".") and each.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
    return [path / name for name in sorted(names)]


def _has_weights(path: Path) -> bool:
    """Return whether there are weights in a directory, in one below it, or in the parts of a model there."""
    return any(_is_model(each) for each in (path, *_list_directories(path)[:_MOST_MODELS]))


def _is_model(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(
                each.name == "model_index.json" or each.name.endswith(".safetensors")
                for each in islice(entries, _MOST_SEARCHED)
            )
    except OSError:
        return False


def _has_deepspeed(environment: Path) -> bool:
    """Return whether a Python environment has the package without which the trainer cannot start."""
    if not os.access(environment / "bin" / "python", os.X_OK):
        return False
    return any((each / "site-packages" / "deepspeed").is_dir() for each in _list_directories(environment / "lib"))


def _is_checkout(path: Path) -> bool:
    return (path / "train.py").is_file() and (path / "examples" / "main_example.toml").is_file()
