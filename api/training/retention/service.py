"""Retention: which saved models and checkpoints of a training stay, and the deletion of all others."""

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import orjson

from api.db.leadership import LeadershipLost
from api.domain.reason import Reason
from api.domain.tasks.progress import Stage
from api.domain.tasks.retention import RetentionRule
from api.domain.tasks.training import TaskStatus
from api.errors import ServiceError, TaskNotFound
from api.files.task_files import tasks_directory, write_private
from api.jobs.exports.request import MARK
from api.trainers.protocol.checkpoints import SAVED_MODEL
from api.trainers.trainer import Trainer
from api.training.output.artifacts import saved_at
from api.training.output.resume_points import last_complete
from api.training.output.written import TrainingOutput
from api.training.retention.store import RetentionFacts, RetentionStore
from api.training.retention.views import (
    AppliedRetention,
    RetainedItem,
    RetentionPreview,
    RetentionSource,
    RetentionView,
    SavedKind,
)
from api.util.clock import Clock, time_of
from api.util.files.foreign_trees import list_names, walk
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Path components below which no links are followed: run directory and saved model, or the output directory alone.
_MODEL_LEVELS, _OUTPUT_LEVELS = 4, 2

#: Begin and end of the names of notes in the directory of a task. Each notes a deletion that has not finished.
_NOTE, _NOTE_END = ".deletion-", ".json"

#: Seconds between two attempts to finish the deletions in which a server was killed.
_FINISH_SECONDS = 60.0

_MB = 2**20


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved model or a checkpoint in a run directory."""

    name: str
    kind: SavedKind
    run_dir: Path
    size_bytes: int
    written_at: datetime
    is_complete: bool = True
    is_last: bool = False  #: whether it is the checkpoint from which a resume continues by default
    is_exported: bool = False  #: whether a user had this model made of a checkpoint


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether one of them stays, and why."""

    saved: Saved
    stays: bool
    why: Reason


class Retention:
    """The use cases of `/training/{task_id}/retention`, and the only place that deletes by a rule. Thread-safe."""

    def __init__(
        self,
        store: RetentionStore,
        output: TrainingOutput,
        clock: Clock,
        default: RetentionRule,
        forget_files: Callable[[str], None] = lambda task_id: None,
        unlink_models: Callable[[str, Collection[str]], None] = lambda task_id, names: None,
    ) -> None:
        """Create the service. `forget_files` has a task measured again.

        `unlink_models` has the links of deleted models removed from ComfyUI's directories.
        """
        self._store = store
        self._output = output
        self._clock = clock
        self._forget_files = forget_files
        self._unlink_models = unlink_models
        self.default = default  #: may change at run time
        self._interrupted: set[Path] | None = None  #: notes of killed servers; None: not read yet
        self.thread = PeriodicThread("retention", _FINISH_SECONDS, self.finish_interrupted)

    def get(self, task_id: str) -> RetentionView:
        """Return the rule of a training. Raise TaskNotFound."""
        return self._show(self._store.facts(task_id))

    def put(self, task_id: str, rule: RetentionRule, actor: str) -> AppliedRetention:
        """Store the rule of a training, and delete what it does not keep. Raise TaskNotFound, OSError."""
        self._output.storage.require()
        self._store.facts(task_id)
        # Noted first, so that a kill after the rule is stored leaves nothing undone.
        note = self._note(task_id)
        self._store.put(task_id, rule, self._clock.now(), actor)
        deleted = self._apply(task_id, note)
        return AppliedRetention(self.get(task_id), tuple(map(_show, deleted)), _sum_mb(deleted))

    def preview(self, task_id: str, rule: RetentionRule | None) -> RetentionPreview:
        """Return what stays and what goes with a rule, by default the present one. Raise TaskNotFound, OSError."""
        self._output.storage.require()
        facts = self._store.facts(task_id)
        found = self._decide(facts if rule is None else replace(facts, rule=rule))
        deleted = [each for each in found if not each.stays]
        kept = tuple(_show(each) for each in found if each.stays)
        return RetentionPreview(kept, tuple(map(_show, deleted)), _sum_mb(deleted))

    def apply(self, task_id: str) -> Sequence[Decision]:
        """Delete what the rule of a training does not keep, and return it.

        A note on the disk and a rename begin each deletion, so that the next start finishes it after a kill. Raise
        TaskNotFound, DatabaseUnavailable, OSError.
        """
        return self._apply(task_id, None)

    def finish_interrupted(self) -> None:
        """Finish the deletions in which a server was killed, with their events. Those that fail are tried again."""
        try:
            self._output.storage.require()
        except ServiceError:
            return
        if self._interrupted is None:
            self._interrupted = set(tasks_directory(self._output.storage.root).glob(f"*/{_NOTE}*{_NOTE_END}"))
        for note in sorted(self._interrupted):
            try:
                self._finish(note)
            except TaskNotFound:
                note.unlink(missing_ok=True)
            except (OSError, ServiceError, LeadershipLost) as error:
                extra = {"task_id": note.parent.name, "problem": str(error)}
                logger.warning("cannot finish a deletion by a rule", extra=extra)
                continue
            self._interrupted.discard(note)

    def _finish(self, note: Path) -> None:
        task_id = note.parent.name
        try:
            noted = orjson.loads(note.read_bytes())
        except FileNotFoundError:
            return  # it has finished
        output = self._output.files(task_id).output

        def hidden() -> list[tuple[str, Reason]]:
            names = [path.rpartition("/")[2] for path in noted["paths"] if not os.path.lexists(output / path)]
            return [(name, _deleted(name)) for name in names]

        self._store.record_missing(task_id, noted["last_event"], hidden, self._clock.now())
        self._unlink_models(task_id, [name for name, _ in hidden()])
        self._apply(task_id, note)
        self._forget_files(task_id)

    def _note(self, task_id: str, paths: Sequence[str] = (), last_event: int = 0, note: Path | None = None) -> Path:
        """Note what is deleted: paths in the output directory, and the last event before the deletion."""
        root = self._output.files(task_id).root
        note = note or root / f"{_NOTE}{uuid4().hex}{_NOTE_END}"
        try:
            write_private(note, orjson.dumps({"paths": paths, "last_event": last_event}), levels=1)
        except OSError as error:
            # The deletion may be what a full disk needs.
            logger.warning("cannot note a deletion", extra={"task_id": task_id, "problem": str(error)})
        return note

    def _apply(self, task_id: str, note: Path | None) -> Sequence[Decision]:
        deleted: list[Decision] = []
        is_on = any(self._rule(*self._store.rules_of(task_id)))
        if not is_on and note is None:
            return ()
        facts = self._store.facts(task_id)
        trainer = self._output.trainers.get(facts.task.trainer)
        output = self._output.files(task_id).output
        if trainer is None:
            return ()
        if is_on and not all(each.stays for each in self._decide(facts)):
            note = note or self._note(task_id)
            deleted = self._hide(task_id, trainer, note)
        runs = list_names(str(output), _OUTPUT_LEVELS)[0]
        emptied = [trainer.delete_hidden(output / run) for run in runs]
        if note is not None and all(emptied):
            note.unlink(missing_ok=True)
        if deleted:
            logger.info("saved files deleted by a rule", extra={"task_id": task_id, "mb": _sum_mb(deleted)})
            self._forget_files(task_id)
            self._unlink_models(task_id, [each.saved.name for each in deleted])
        return deleted

    def _hide(self, task_id: str, trainer: Trainer, note: Path) -> list[Decision]:
        """Decide again while the training is locked, and hide what goes. Without the database, nothing is hidden."""
        hidden: list[Decision] = []

        def hide(facts: RetentionFacts) -> Iterator[tuple[str, Reason]]:
            going = [each for each in self._decide(facts) if not each.stays]
            paths = [f"{each.saved.run_dir.name}/{each.saved.name}" for each in going]
            self._note(task_id, paths, facts.last_event, note)
            for each in going:
                try:
                    trainer.hide_checkpoint(each.saved.run_dir, each.saved.name)
                except OSError as error:
                    # The next call tries again.
                    extra = {"task_id": task_id, "saved": each.saved.name, "problem": str(error)}
                    logger.warning("cannot delete a saved model or checkpoint", extra=extra)
                    continue
                hidden.append(each)
                yield each.saved.name, _deleted(each.saved.name)

        try:
            self._store.delete(task_id, hide, self._clock.now())
        except Exception:
            # Nothing was recorded, so that nothing goes.
            for each in hidden:
                with suppress(OSError):
                    trainer.unhide_checkpoint(each.saved.run_dir, each.saved.name)
            raise
        return hidden

    def _decide(self, facts: RetentionFacts) -> list[Decision]:
        output = self._output.files(facts.task.task_id).output
        rule, keep_checkpoints = self._rule(facts.rule, facts.keep_last_checkpoints)
        models = decide(find_models(output), rule, facts)
        found = self._output.find_checkpoints(facts.task)
        last = last_complete(found.checkpoints)
        run_dir = Path(found.run_dir or output)
        checkpoints = [
            Saved(
                each.name,
                SavedKind.CHECKPOINT,
                run_dir,
                each.size_bytes,
                each.created_at,
                each.is_complete,
                last is not None and each.name == last.name,
            )
            for each in found.checkpoints
        ]
        limit = None if keep_checkpoints is None else RetentionRule(keep_last=keep_checkpoints)
        return [*models, *decide(checkpoints, limit, facts)]

    def _rule(
        self, own: RetentionRule | None, keep_last_checkpoints: int | None
    ) -> tuple[RetentionRule | None, int | None]:
        """Return the rule for models, and how many checkpoints stay. None: all stay."""
        rule = self.default if own is None else own
        limit = rule.keep_last if own is not None or keep_last_checkpoints is None else keep_last_checkpoints
        return rule if rule.is_on else None, limit

    def _show(self, facts: RetentionFacts) -> RetentionView:
        rule, keep_checkpoints = self._rule(facts.rule, facts.keep_last_checkpoints)
        if facts.rule is not None:
            source = RetentionSource.TASK
        elif rule is not None:
            source = RetentionSource.DEFAULT
        else:
            source = RetentionSource.NONE if keep_checkpoints is None else RetentionSource.REQUEST
        shown = rule or RetentionRule()
        return RetentionView(
            facts.task.task_id, shown.keep_last, shown.keep_every, shown.keep_rated, keep_checkpoints, source
        )


def find_models(output: Path) -> list[Saved]:
    """Return the saved models of a training. Of several with one name, the newest counts. Raise OSError."""
    found: dict[str, Saved] = {}
    for run in sorted(list_names(str(output), _OUTPUT_LEVELS)[0]):
        for name in list_names(str(output / run), _OUTPUT_LEVELS + 1)[0]:
            if SAVED_MODEL.fullmatch(name):
                directory = output / run / name
                files = list(walk(str(directory), _MODEL_LEVELS))
                # The trainer writes into `tmp`, and moves the files when they are complete.
                is_writing = "tmp" in list_names(str(directory), _MODEL_LEVELS)[0]
                if any("/" not in path and path.endswith(".safetensors") for path, _ in files):
                    size = sum(status.st_size for _, status in files)
                    written_at = time_of(max(status.st_mtime for _, status in files))
                    is_exported = any(path == MARK for path, _ in files)
                    found[name] = Saved(
                        name, SavedKind.MODEL, output / run, size, written_at, not is_writing, is_exported=is_exported
                    )
    return list(found.values())


def decide(found: Iterable[Saved], rule: RetentionRule | None, facts: RetentionFacts) -> list[Decision]:
    """Return for each of these models or checkpoints whether it stays, newest first. Without a rule, all stay."""
    ordered = sorted(found, key=lambda one: (one.written_at, _number(one.name)), reverse=True)
    # An export takes no place among the newest: it is no later state of the training.
    counted = (one for one in ordered if one.is_complete and not one.is_exported)
    places = {one.name: place for place, one in enumerate(counted, start=1)}
    decisions = []
    for one in ordered:
        why = _why_needed(one, facts) or _why_kept(one, places.get(one.name), rule, facts)
        gone = Reason.of("no rule keeps it", "retention_none")
        decisions.append(Decision(one, why is not None, why or gone))
    return decisions


def _why_needed(one: Saved, facts: RetentionFacts) -> Reason | None:
    """Return why it stays whatever the rule is, or None."""
    if one.name == facts.task.chosen:
        return Reason.of("it is the chosen model", "retention_chosen")
    if one.is_exported:
        return Reason.of("you exported it from a checkpoint", "retention_exported")
    if one.is_last:
        return Reason.of("it is the last complete checkpoint", "retention_last")
    if not one.is_complete:
        return Reason.of("it is not complete", "retention_incomplete")
    user = _user_of(one, facts)
    return None if user is None else Reason.of("{task_id} needs it", "retention_used", task_id=user)


def _user_of(one: Saved, facts: RetentionFacts) -> str | None:
    """Return the unfinished task that needs it, or None."""
    if one.name in facts.used_by:
        return facts.used_by[one.name]
    if facts.all_used_by is not None:
        return facts.all_used_by
    task = facts.task
    if task.status.is_finished:
        return None
    if one.kind is SavedKind.CHECKPOINT:
        chosen = (None if task.resume is None else task.resume.checkpoint, facts.resumed_from)
        about_to_start = task.status in (TaskStatus.QUEUED, TaskStatus.STARTING)
        return task.task_id if about_to_start and one.name in chosen else None
    return task.task_id if task.status.is_active and _may_be_written(one, facts) else None


def _may_be_written(one: Saved, facts: RetentionFacts) -> bool:
    """Return whether the trainer may write this model: it saves the same epochs again after a resume."""
    report = facts.task.progress
    progress = None if report is None else report.progress
    if progress is None or progress.stage not in (Stage.TRAINING, Stage.EVALUATING):
        return True
    unit, number = saved_at(one.name)
    reached = progress.current_epoch if unit == "epoch" else progress.current_step
    return reached is None or number is None or number >= reached


def _why_kept(one: Saved, place: int | None, rule: RetentionRule | None, facts: RetentionFacts) -> Reason | None:
    """Return why the rule keeps it, or None. `place` is 1 for the newest complete one."""
    if rule is None:
        return Reason.of("everything stays", "retention_off")
    newest = rule.keep_last or 1
    if place is None or place <= newest:
        return Reason.of("it is {n|the newest|one of the newest}", "retention_newest", n=newest)
    if one.kind is SavedKind.CHECKPOINT:
        return None
    if rule.keep_every is not None and _number(one.name) % rule.keep_every == 0:
        return Reason.of("its number is a multiple of {n}", "retention_every", n=rule.keep_every)
    rating = facts.ratings.get(one.name)
    if rule.keep_rated is not None and rating is not None and rating >= rule.keep_rated:
        return Reason.of("a sample of it is rated {rating}", "retention_rated", rating=rating)
    return None


def _number(name: str) -> int:
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz_") or 0)


def _deleted(name: str) -> Reason:
    return Reason.of("{name} was deleted, as the rule for this training says", "deleted_by_rule", name=name)


def _show(decision: Decision) -> RetainedItem:
    one, why = decision.saved, decision.why
    return RetainedItem(one.name, one.kind, one.size_bytes, one.written_at, why.text, why.said)


def _sum_mb(deleted: Iterable[Decision]) -> float:
    return round(sum(each.saved.size_bytes for each in deleted) / _MB, 1)
