"""The toy trainer behind the trainer interface: really trains, needs no GPU, and simulates failures on request."""

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.finding import make_finding, pointer
from api.domain.tasks.rehearsal import PlannedRehearsal, RehearsedItem
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.errors import ExportUnsupported, Finding, FindingText
from api.trainers.environment import split_secrets
from api.trainers.media import MediaInfoCache
from api.trainers.protocol_trainer import RunProtocol
from api.trainers.toml_text import DATASET, write
from api.trainers.toy import settings
from api.trainers.toy.settings import TOY_UNREADABLE, ToyDataset, read_dataset, read_values, write_dataset_file
from api.trainers.toy.toy_export import OPTIONS
from api.trainers.trainer import STEPS, CacheFacts, Check, Command, ItemFolders, Launch, Rehearsal, own_folders
from api.util.http.validation import capped

PROGRAM = Path(__file__).resolve().parent / "train.py"
PICTURES = 512

#: Beginnings of the settings that determine the end of a training and its outputs.
_OUTPUTS = ("max_steps", "save_every_n_", "checkpoint_every_n_", "eval_")


class Toy(RunProtocol):
    """Trains a tiny diffusion model on the CPU. Request: `{"model_type": "toy", "config": {"epochs": 3}}`."""

    name = "toy"
    model_types = frozenset({"toy"})

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._media_cache = MediaInfoCache()

    def problems(self) -> tuple[Finding, ...]:
        """Return no problems: the toy is part of the service."""
        return ()

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Check every setting and make the plan."""
        root = "/config" if request.config_toml is None else "/config_toml"
        if request.config_toml is not None and request.config:
            return Check(
                (
                    make_finding(
                        "",
                        FindingText(
                            "toy_configuration_twice",
                            "The request contains its configuration both as text and in structured form.",
                            "Send only one of them.",
                        ),
                    ),
                )
            )
        try:
            config = read_values(request.config, request.config_toml)
        except ValueError as error:
            return Check((make_finding(root, TOY_UNREADABLE, why=error),))
        values = settings.flatten(config) if request.config_toml is None else _with_pointers(config)
        dataset = read_dataset(request.dataset, request.dataset_toml, self._media_cache)
        errors = tuple(capped((*settings.check(values, root), *dataset.mistakes)))
        plan = (
            None
            if errors
            else _plan(request, {name: value for name, (_, value) in values.items()}, dataset, output_dir)
        )
        if plan is not None and request.rehearsal:
            plan = self._plan_rehearsal(request, plan, dataset, output_dir)
        return Check(errors, (*_warnings(request, values, root), *dataset.warnings), plan)

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request unchanged: no setting of the toy is secret."""
        return request

    def working_directory(self, attempt: Path) -> Path | None:
        """Return the attempt's own directory."""
        return attempt

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """Return nothing: the toy's dataset is part of the request."""
        return ()

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """Return the values that the cache depends on: the size of its pictures, and the toy's code."""
        try:
            config = read_values(request.config, request.config_toml)
            dataset = read_values(request.dataset, request.dataset_toml)
        except ValueError as error:
            return CacheFacts(problem=str(error))
        toy = config.get("toy")
        size = toy.get("size", settings.SIZE) if isinstance(toy, Mapping) else settings.SIZE
        code = [
            [path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(PROGRAM.parent.glob("*.py"))
        ]
        return CacheFacts({"size": size, "dataset": dataset, "code": code}, {"size": size})

    def export_options(self, plan: TrainingPlan) -> Mapping[str, Any]:
        """Return how to make a saved model of a checkpoint. Raise ExportUnsupported."""
        if not tomllib.loads(plan.files["config.toml"]).get("toy", {}).get("exports_directly", True):
            raise ExportUnsupported("This training has `exports_directly = false`.")
        return OPTIONS

    def one_step(self, request: TrainingRequest, step: int) -> TrainingRequest:
        """Return the request of a training that saves a model at this step, and ends."""
        changed = {**_without_outputs(request), "save_every_n_steps": 1, "max_steps": step}
        return replace(request, config=changed, config_toml=None)

    def rehearse(self, request: TrainingRequest, planned: PlannedRehearsal, directory: Path) -> Rehearsal:
        """Return the request for the planned items, which lie in this directory. Raise ValueError."""
        kept = _without_outputs(request)
        changed = {**kept, "epochs": 1, "save_every_n_epochs": 1, "toy": {**kept["toy"], "steps_per_epoch": STEPS}}
        derived = replace(request, config=changed, config_toml=None, regenerate_cache=False, trust_cache=False)
        if not planned.items:
            return Rehearsal(derived, ())
        dataset = read_values(request.dataset, request.dataset_toml)
        given = dataset["directories" if request.dataset_toml is None else "directory"]
        sources = tuple(ItemFolders(Path(given[item.directory]["path"])) for item in planned.items)
        own = [own_folders(directory, index, source).as_values() for index, source in enumerate(sources)]
        return Rehearsal(replace(derived, dataset={"directories": own}, dataset_toml=None), sources)

    def _plan_rehearsal(
        self, request: TrainingRequest, whole: TrainingPlan, dataset: ToyDataset, output_dir: Path
    ) -> TrainingPlan:
        items = tuple(RehearsedItem(index, name) for index, name in dataset.first)
        planned = PlannedRehearsal(items, whole.total_steps, whole.dataset_items)
        derived = self.rehearse(request, planned, output_dir.parent / "datasets").request
        count = len(items) or whole.dataset_items
        return replace(_plan(derived, dict(derived.config), ToyDataset(items=count), output_dir), rehearsal=planned)

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """Return the command of one attempt; the dataset comes from the request, not from the plan."""
        config = tomllib.loads(plan.files["config.toml"]) | {"output_dir": str(launch.output_dir)}
        return Command(
            argv=(self._python, *_arguments(launch), *_flags(request)),
            cwd=launch.directory,
            env={
                **split_secrets(request.env)[0],
                "CUDA_VISIBLE_DEVICES": ",".join(map(str, launch.gpu_indices)),
                "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
                # Its matrices are too small to benefit from threads, and one thread makes runs reproducible.
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
            files={"config.toml": write(config), **_dataset_files(request)},
        )


def _without_outputs(request: TrainingRequest) -> dict[str, Any]:
    """Return the configuration without what determines its end and its outputs. Raise ValueError."""
    config = read_values(request.config, request.config_toml)
    values = settings.flatten(config) if request.config_toml is None else _with_pointers(config)
    kept = {name: value for name, (_, value) in values.items() if not name.startswith(_OUTPUTS)}
    toy = {name: value for name, value in kept.get("toy", {}).items() if name != "checkpoint_every_n_steps"}
    return {**kept, "toy": toy}


def _arguments(launch: Launch) -> list[str]:
    arguments = ["-u", str(PROGRAM), "--config", str(launch.directory / "config.toml")]
    arguments += ["--master_port", str(launch.master_port), "--ranks", str(max(1, len(launch.gpu_indices)))]
    if launch.run_dir is not None:
        arguments += ["--resume_from_checkpoint", str(launch.run_dir)]
        arguments += ["--reset_dataloader"] if launch.resume.reset_dataloader else []
        arguments += ["--reset_optimizer"] if launch.resume.reset_optimizer else []
    return arguments


def _flags(request: TrainingRequest) -> list[str]:
    return [f"--{name}" for name in ("regenerate_cache", "trust_cache", "cache_only") if getattr(request, name)]


def _dataset_files(request: TrainingRequest) -> dict[str, str]:
    text = write_dataset_file(request.dataset, request.dataset_toml)
    return {} if text is None else {DATASET: text}


def _with_pointers(config: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    return {name: (pointer(name), value) for name, value in config.items()}


def _warnings(request: TrainingRequest, values: Mapping[str, tuple[str, Any]], root: str) -> tuple[Finding, ...]:
    replaced = [
        make_finding(
            root + values[name][0],
            FindingText("toy_set_by_service", "`{name}` is set by the service; this value is ignored.", "Remove it."),
            name=name,
        )
        for name in settings.SET_BY_SERVICE
        if name in values
    ]
    cache = [
        make_finding(
            f"/{name}",
            FindingText(
                "toy_without_effect",
                "The toy draws its own pictures and caches none, so this has no effect.",
                "Remove it.",
            ),
        )
        for name in ("regenerate_cache", "trust_cache")
        if getattr(request, name) and not request.dataset and request.dataset_toml is None
    ]
    return (*replaced, *cache)


def _plan(request: TrainingRequest, values: dict[str, Any], dataset: ToyDataset, output_dir: Path) -> TrainingPlan:
    config: dict[str, Any] = {"output_dir": str(output_dir)}
    files = _dataset_files(request)
    if files:
        config["dataset"] = DATASET
    chosen = {name: value for name, value in values.items() if name not in settings.SET_BY_SERVICE}
    config |= settings.with_defaults(chosen)
    toy = config.get("toy", {})
    steps = int(toy.get("steps_per_epoch", settings.STEPS_PER_EPOCH))
    total = config["epochs"] * steps
    micro_batch = config.get("micro_batch_size_per_gpu", settings.MICRO_BATCH_SIZE)
    return TrainingPlan(
        trainer=Toy.name,
        model_type="toy",
        gpu_count=request.gpu_count,
        epochs=config["epochs"],
        steps_per_epoch=steps,
        total_steps=min(total, config.get("max_steps", total)),
        max_steps=config.get("max_steps"),
        global_batch_size=micro_batch * request.gpu_count,
        dataset_items=PICTURES if dataset.items is None else dataset.items,
        files={"config.toml": write(config), **files},
        command=(
            *("python", "-u", PROGRAM.name, "--config", "config.toml", "--ranks", str(request.gpu_count)),
            *_flags(request),
        ),
        evaluates=bool(config.get("eval_every_n_epochs") or config.get("eval_every_n_steps")),
    )
