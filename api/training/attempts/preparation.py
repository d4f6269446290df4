"""Preparation of attempts for the executor: files, environment and resume point."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from api.access.readable_paths import ReadablePaths
from api.domain.reason import Reason
from api.domain.tasks.rehearsal import PlannedRehearsal
from api.domain.tasks.training import Attempt, AttemptStatus, ResumeOptions, TrainingRequest, TrainingTask
from api.errors import DatabaseUnavailable, ServiceError
from api.executors.executor import AttemptRef, Submission
from api.files.task_files import TaskFiles, TaskStorage, write_private
from api.trainers.trainer import Command, ItemFolders, Launch, Rehearsal, SupportsRehearsal, Trainer, own_folders
from api.training.attempts.checkpoint_copy import copy_checkpoint
from api.training.attempts.outcomes import CannotStart
from api.util.files.foreign_files import make_directory
from api.util.files.foreign_trees import remove_tree
from api.util.text.masking import MASK

_CAPTIONS = "captions.json"

#: Size limit of a captions.json that is read.
_MAX_JSON_BYTES = 32 * 1024 * 1024


def lay_out(rehearsal: Rehearsal, planned: PlannedRehearsal, directory: Path, group: int | None) -> None:
    """Create the directories of the items. `group` is that of the trainers' user, if it is not the service's.

    Raise OSError or ValueError.
    """
    remove_tree(str(directory), levels=1)
    make_directory(str(directory), 2)
    for index, (item, source) in enumerate(zip(planned.items, rehearsal.sources, strict=True)):
        own = own_folders(directory, index, source)
        for path in (own.media, own.masks, own.controls):
            if path is not None:
                path.mkdir(parents=True, mode=0o700)
        _link(source.media / item.name, own.media / item.name, group)
        _add_caption(source, own, item.name)
        for beside, target in ((source.masks, own.masks), (source.controls, own.controls)):
            if beside is not None and target is not None:
                for found in beside.iterdir():
                    if found.stem == Path(item.name).stem and found.is_file():
                        _link(found, target / found.name, group)
    if group is not None:
        _open_to_trainers(directory, group)


def _link(source: Path, target: Path, group: int | None) -> None:
    source = source.resolve(strict=True)
    if group is None:
        target.symlink_to(source)
        return
    # The trainers' user cannot enter the service's directories.
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
        os.chown(target, -1, group)
        target.chmod(0o640)


def _add_caption(source: ItemFolders, own: ItemFolders, name: str) -> None:
    captions = source.media / _CAPTIONS
    if captions.is_file():
        if captions.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"{captions} is too large for a rehearsal")
        given = orjson.loads(captions.read_bytes())
        (own.media / _CAPTIONS).write_bytes(orjson.dumps({name: given[name]} if name in given else {}))
        return
    text = (source.media / name).with_suffix(".txt")
    if text.is_file():
        (own.media / text.name).write_bytes(text.read_bytes())


def _open_to_trainers(directory: Path, group: int) -> None:
    for root, _, names in os.walk(directory):
        os.chown(root, -1, group)
        Path(root).chmod(0o2770)
        for name in names:
            if name == _CAPTIONS or name.endswith(".txt"):
                os.chown(Path(root) / name, -1, group)
                (Path(root) / name).chmod(0o640)


class Materials(Protocol):
    """Provides the named datasets that an attempt trains on."""

    def lay_out(self, task: TrainingTask, *, is_new: bool) -> TrainingRequest:
        """Return the task's request with the directories of its datasets. For a new attempt, create them.

        Raise ServiceError or OSError if that fails.
        """


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """The settings with which the processes of attempts run."""

    environment: Mapping[str, str]  #: of trainers: the allowed part of the service's own
    own_environment: Mapping[str, str]  #: of the service's own programs
    log_max_bytes: int
    trainers_group: int | None = None  #: the group of the trainers' user; None: that of the service


class AttemptPreparation:
    """Prepares attempts for the executor."""

    def __init__(
        self,
        storage: TaskStorage,
        settings: ProcessSettings,
        name_gpus: Callable[[Sequence[str]], tuple[str | None, ...]] = lambda uuids: (),
        materials: Materials | None = None,
        paths: ReadablePaths | None = None,
    ) -> None:
        """Create the preparation. `name_gpus` returns GPU names by UUID.

        Without `materials`, there are no named datasets. Without `paths`, every path may be read.
        """
        self._paths = paths
        self._materials = materials
        self._storage = storage
        self._settings = settings
        self._name_gpus = name_gpus

    def files(self, task_id: str) -> TaskFiles:
        """Return the directories of a task."""
        return self._storage.files(task_id)

    def ref(self, attempt: Attempt) -> AttemptRef:
        """Return the executor's reference to an attempt."""
        return AttemptRef(attempt.uid, Path(attempt.directory), self.files(attempt.task_id).log)

    def prepare(self, task: TrainingTask, attempt: Attempt, trainer: Trainer, is_new: bool) -> Submission:
        """Return the submission of an attempt. Raise CannotStart.

        For a new attempt, write its files and prepare the run directory for a resume. A running attempt is not touched.
        """
        files, options, settings = self.files(task.task_id), task.resume or ResumeOptions(), self._settings
        run_dir = None if attempt.run_dir is None else Path(attempt.run_dir)
        launch = self._launch(files, attempt, run_dir, options)
        secrets = files.read_secrets()
        if is_new:
            _check_secrets(task, secrets)
            self._check_paths(task, trainer, launch.directory)
        try:
            request = task.request if self._materials is None else self._materials.lay_out(task, is_new=is_new)
            if task.plan.rehearsal is not None and isinstance(trainer, SupportsRehearsal):
                rehearsal = trainer.rehearse(request, task.plan.rehearsal, files.datasets)
                request = rehearsal.request
                if is_new:
                    lay_out(rehearsal, task.plan.rehearsal, files.datasets, settings.trainers_group)
            command = trainer.prepare(request, task.plan, launch)
            if is_new:
                self._write(files, launch, command)
                if run_dir is not None:
                    self._copy_exported(task, trainer, run_dir)
                    trainer.prepare_resume(run_dir, attempt.resumed_from)
        except DatabaseUnavailable:
            raise  # retried by the caller
        except (OSError, ValueError, ServiceError) as error:
            raise CannotStart(f"{error}") from error
        return Submission(
            ref=self.ref(attempt),
            argv=command.argv,
            cwd=command.cwd,
            env={**(settings.own_environment if command.is_own else settings.environment), **command.env, **secrets},
            phrases=(trainer.completed_phrase, trainer.stopped_phrase),
            step_prefix=trainer.step_prefix,
            log_max_bytes=settings.log_max_bytes,
            gpu_uuids=attempt.gpu_uuids,
            has_run=attempt.status is AttemptStatus.RUNNING,
            output_dir=None if command.is_own else files.output,
            files=tuple(command.files),
            node=attempt.node,
            master_port=attempt.master_port,
            cluster_options=task.request.slurm,
        )

    def _copy_exported(self, task: TrainingTask, trainer: Trainer, run_dir: Path) -> None:
        """Copy the checkpoint that the trainer exports. Raise CannotStart or OSError."""
        planned = task.plan.export
        if planned is not None:
            source = self.files(planned.task_id).output / planned.run
            copy_checkpoint(planned, source, run_dir, trainer, self._settings.trainers_group)

    def _check_paths(self, task: TrainingTask, trainer: Trainer, attempt: Path) -> None:
        """Raise CannotStart if a path now leads to a location that the task's owner may not read."""
        if self._paths is None:
            return
        scope = self._paths.scope_of_owner(task.owner)
        for forbidden in self._paths.check_request(task.request, trainer, attempt, scope)[:1]:
            raise CannotStart(
                Reason.of(
                    "{pointer} now leads to files of the service or of another user",
                    "path_not_permitted",
                    pointer=forbidden.pointer,
                )
            )

    def _launch(self, files: TaskFiles, attempt: Attempt, run_dir: Path | None, options: ResumeOptions) -> Launch:
        return Launch(
            directory=Path(attempt.directory),
            output_dir=files.output,
            gpu_indices=attempt.gpu_indices,
            master_port=attempt.master_port or 0,
            run_dir=run_dir,
            resume=options,
            gpu_names=self._name_gpus(attempt.gpu_uuids),
        )

    @staticmethod
    def _write(files: TaskFiles, launch: Launch, command: Command) -> None:
        for directory, levels in ((launch.directory, 3), (files.output, 2), (files.log, 2)):
            make_directory(str(directory), levels)
        for name, text in command.files.items():
            write_private(launch.directory / name, text.encode())


def _check_secrets(task: TrainingTask, secrets: Mapping[str, str]) -> None:
    """Raise CannotStart if a secret is missing. The database has only masks; secrets are below STORAGE_ROOT."""
    missing = sorted(name for name, value in task.request.env.items() if value == MASK and name not in secrets)
    if missing:
        raise CannotStart(
            Reason.of(
                "{names} is missing in this STORAGE_ROOT, maybe because another server stored it: send it again",
                "secrets_missing",
                names=", ".join(missing),
            )
        )
