import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import update

from api.db.tables import tasks as task_table
from api.domain.tasks.progress import MetricsView, ProgressReport, ProgressView, SpeedView, Stage
from api.domain.tasks.retention import RetentionRule
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import EventKind, GPURequest, NewTask, TaskStatus, TrainingPlan, TrainingRequest
from api.errors import DatabaseUnavailable
from api.jobs.exports.request import MARK
from api.jobs.sampling.request import SampleRecord
from api.trainers.protocol import checkpoints
from api.training.records import event_store
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from api.training.retention.service import Retention
from api.training.retention.store import RetentionStore
from tests.databases import hurry
from tests.lengths import length
from tests.unit.trainings import RUN_DIR, TOY, TrainingMachine

OFF = RetentionRule()
_NUMBERS = count()


class Killed(BaseException):
    """The process was killed here."""


class Run:
    """A training whose trainer saves models and checkpoints, without a process."""

    def __init__(self, machine: TrainingMachine, task_id: str = "a", **options: Any) -> None:
        self.machine = machine
        self.task_id = task_id
        self.run_dir = machine.files(task_id).output / RUN_DIR
        self.run_dir.mkdir(parents=True)
        self._saves = 0
        machine.put(task_id, **options)
        self.becomes(TaskStatus.COMPLETED)

    @property
    def retention(self) -> Retention:
        return self.machine.parts.services.retention

    def save(self, name: str, size: int = 2**20) -> None:
        """Save a model or a complete checkpoint."""
        directory = self.run_dir / name
        directory.mkdir(exist_ok=True)
        self._saves += 1
        is_checkpoint = name.startswith("global_step")
        path = directory / ("mp_rank_00_model_states.pt" if is_checkpoint else "adapter_model.safetensors")
        with path.open("wb") as file:
            file.truncate(size)
        os.utime(path, (1_700_000_000 + self._saves, 1_700_000_000 + self._saves))
        if is_checkpoint:
            (self.run_dir / "latest").write_text(name)

    def becomes(self, status: TaskStatus, **values: Any) -> None:
        with self.machine.database.write() as connection:
            mine = update(task_table).where(task_table.c.task_id == self.task_id)
            connection.execute(mine.values(status=status, **values))

    def trains(self, epoch: int | None, stage: Stage = Stage.TRAINING) -> None:
        """Run with this progress."""
        progress = ProgressView(stage, epoch, 100, None if epoch is None else epoch * 10, 1000, 10, *[None] * 6)
        report = ProgressReport(progress, MetricsView(*[None] * 6, 0), SpeedView(*[None] * 3))
        self.becomes(TaskStatus.RUNNING, progress=report.as_json())

    def rate(self, model: str, rating: int) -> None:
        store = TrainingSampleStore(self.machine.database)
        record = SampleRecord(model, 0, 1, 1.0, file="a.png", sha256="0" * 64)
        sample = StoredSample(self.task_id, f"s-{self.task_id}", record, "x", "a cat", None, self.machine.clock.now())
        store.put([sample])
        store.rate(self.task_id, sample.sample_id, rating)

    def choose(self, name: str | None) -> None:
        self.machine.tasks.choose(self.task_id, name, self.machine.clock.now(), "ann")

    def needed_by(self, kind: TaskType, **order: Any) -> str:
        """Queue a task of another kind that needs files of this training."""
        order_id = f"{kind}-{self.task_id}-{next(_NUMBERS)}"
        request = TrainingRequest("toy", GPURequest(count=0), config={"order": {"task_id": self.task_id, **order}})
        new = NewTask(order_id, "toy", request, TrainingPlan("toy", "toy", 0), kind=kind)
        self.machine.tasks.create(new, self.machine.clock.now(), "ann")
        return order_id

    def left(self) -> set[str]:
        """Return the names of what is saved."""
        return {path.name for path in self.run_dir.iterdir() if path.is_dir() and not path.name.startswith(".")}

    def why(self, rule: RetentionRule) -> dict[str, str]:
        """Return the reasons of everything by name; of what goes, the reason is empty."""
        seen = self.retention.preview(self.task_id, rule)
        return {each.name: each.reason_code.code for each in seen.keep} | {each.name: "" for each in seen.delete}


@pytest.fixture
def run(machine: TrainingMachine) -> Run:
    made = Run(machine)
    for number in range(1, 7):
        made.save(f"epoch{number}")
        made.save(f"global_step{number * 10}", 3 * 2**20)
    return made


def test_everything_stays_without_a_rule(run: Run):
    before = run.left()
    assert run.retention.apply("a") == ()
    assert set(run.why(OFF).values()) == {"retention_off", "retention_last"}
    assert run.left() == before
    assert run.retention.get("a").source == "none"


def test_preview_names_a_reason_for_each_and_deletes_nothing(run: Run):
    run.choose("epoch1")
    run.rate("epoch2", 5)
    run.rate("epoch3", 3)
    before = run.left()
    assert run.why(RetentionRule(keep_last=1, keep_every=4, keep_rated=4)) == {
        "epoch6": "retention_newest",
        "epoch5": "",
        "epoch4": "retention_every",
        "epoch3": "",
        "epoch2": "retention_rated",
        "epoch1": "retention_chosen",
        "global_step60": "retention_last",
        **{f"global_step{step}": "" for step in (10, 20, 30, 40, 50)},
    }
    assert run.retention.preview("a", RetentionRule(keep_last=1)).freed_mb == 4.0 + 5 * 3
    assert run.left() == before


def test_exported_model_stays_and_takes_no_place_among_the_newest(run: Run):
    run.save("step20")
    (run.run_dir / "step20" / MARK).write_text("{}")
    assert run.why(RetentionRule(keep_last=2))["step20"] == "retention_exported"
    run.retention.put("a", RetentionRule(keep_last=2), "ann")
    assert run.left() == {"step20", "epoch5", "epoch6", "global_step50", "global_step60"}


def test_rule_is_applied_when_it_is_set(run: Run):
    applied = run.retention.put("a", RetentionRule(keep_last=2), "ann")
    assert run.left() == {"epoch5", "epoch6", "global_step50", "global_step60"}
    assert ({each.name for each in applied.deleted}, applied.freed_mb) == (
        {f"epoch{n}" for n in range(1, 5)} | {f"global_step{n}0" for n in range(1, 5)},
        16.0,
    )
    assert (applied.retention.keep_last, applied.retention.source) == (2, "task")
    deletions = run.machine.messages(EventKind.CHECKPOINT)
    assert "epoch1 was deleted, as the rule for this training says" in deletions
    assert len(deletions) == 8
    assert run.retention.put("a", RetentionRule(keep_last=2), "ann").deleted == ()


def test_checkpoints_stay_unless_the_number_of_the_newest_is_limited(run: Run):
    run.retention.put("a", RetentionRule(keep_every=3), "ann")
    assert run.left() == {"epoch3", "epoch6", *(f"global_step{n}0" for n in range(1, 7))}


def test_default_counts_for_trainings_without_their_own_rule(run: Run):
    run.retention.default = RetentionRule(keep_last=3)
    assert run.retention.get("a").source == "default"
    run.retention.apply("a")
    assert run.left() == {"epoch4", "epoch5", "epoch6", "global_step40", "global_step50", "global_step60"}
    run.retention.put("a", OFF, "ann")
    run.save("epoch7")
    run.retention.apply("a")
    assert "epoch4" in run.left()


def test_request_may_limit_the_checkpoints_alone(machine: TrainingMachine):
    run = Run(machine, keep_last_checkpoints=2)
    for step in (10, 20, 30):
        run.save(f"global_step{step}")
        run.save(f"epoch{step}")
    shown = run.retention.get("a")
    assert (shown.keep_last_checkpoints, shown.keep_last, shown.source) == (2, None, "request")
    run.retention.apply("a")
    assert run.left() == {"global_step20", "global_step30", "epoch10", "epoch20", "epoch30"}


def test_checkpoint_behind_an_older_resume_stays(run: Run):
    checkpoints.prepare_resume(run.run_dir, "global_step20")
    run.retention.put("a", RetentionRule(keep_last=1), "ann")
    assert run.left() == {"epoch6", "global_step20", "global_step60"}


def test_what_unfinished_tasks_need_stays(run: Run):
    sampling = run.needed_by(TaskType.SAMPLE, checkpoints=["epoch1", "epoch2"])
    run.needed_by(TaskType.EXPORT, checkpoint="global_step10", target="step10")
    path = run.run_dir / "epoch3"
    request = replace(TOY, config={"adapter": {"init_from_existing": str(path)}})
    run.machine.tasks.create(NewTask("b", "toy", request, run.machine.plan()), run.machine.clock.now(), "ann")
    run.retention.put("a", RetentionRule(keep_last=1), "ann")
    assert run.left() == {"epoch1", "epoch2", "epoch3", "epoch6", "global_step10", "global_step60"}
    with run.machine.database.write() as connection:
        mine = update(task_table).where(task_table.c.task_id == sampling)
        connection.execute(mine.values(status=TaskStatus.COMPLETED))
    run.retention.apply("a")
    assert run.left() == {"epoch3", "epoch6", "global_step10", "global_step60"}


def test_models_that_a_running_trainer_may_write_stay(run: Run):
    run.trains(4)
    assert [run.why(RetentionRule(keep_last=1))[f"epoch{n}"] for n in (1, 3, 4, 5)] == [
        "", "", "retention_used", "retention_used",
    ]  # fmt: skip
    run.trains(4, Stage.SAVING)
    assert run.why(RetentionRule(keep_last=1))["epoch1"] == "retention_used"
    run.becomes(TaskStatus.COMPLETED)
    (run.run_dir / "epoch2" / "tmp").mkdir()
    assert run.why(RetentionRule(keep_last=1))["epoch2"] == "retention_incomplete"


def test_checkpoint_from_which_a_training_is_about_to_resume_stays(run: Run):
    run.becomes(TaskStatus.QUEUED, resume={"checkpoint": "global_step30"})
    run.retention.put("a", RetentionRule(keep_last=1), "ann")
    assert run.left() >= {"global_step30", "global_step60"}


def test_nothing_goes_while_the_database_cannot_record_it(run: Run, monkeypatch: pytest.MonkeyPatch):
    before = run.left()

    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable

    run.retention.default = RetentionRule(keep_last=1)
    with monkeypatch.context() as patched:
        patched.setattr(event_store, "append", fail)
        with pytest.raises(DatabaseUnavailable):
            run.retention.apply("a")
    assert run.left() == before
    run.retention.apply("a")
    assert run.left() == {"epoch6", "global_step60"}


def test_file_that_cannot_be_deleted_is_tried_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    trainer = run.machine.parts.output.trainers["toy"]
    with monkeypatch.context() as patched:
        patched.setattr(type(trainer), "hide_checkpoint", refuse)
        assert run.retention.put("a", RetentionRule(keep_last=1), "ann").deleted == ()
    assert "cannot delete" in caplog.text
    run.retention.apply("a")
    assert run.left() == {"epoch6", "global_step60"}


def refuse(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("point", ["store", "hide", "hidden", "event", "tree"])
def test_next_start_finishes_a_deletion_after_a_kill(run: Run, monkeypatch: pytest.MonkeyPatch, point: str):
    run.save("epoch2")  # now it is the newest
    hide, append = checkpoints.hide, event_store.append

    def kill(*_: object, **__: object) -> None:
        raise Killed

    def kill_second(run_dir: Path, name: str) -> None:
        if name == "epoch3":
            if point == "hidden":
                hide(run_dir, name)
            raise Killed
        hide(run_dir, name)

    def kill_event(*arguments: Any, **more: Any) -> None:
        if more.get("previous") == "epoch3":
            raise Killed
        append(*arguments, **more)

    places: dict[str, tuple[Any, str, Any]] = {
        "store": (Retention, "_apply", kill),
        "event": (event_store, "append", kill_event),
        "tree": (checkpoints, "remove_tree", kill),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*places.get(point, (checkpoints, "hide", kill_second)))
        with pytest.raises(Killed):
            run.retention.put("a", RetentionRule(keep_last=1), "ann")
    for _ in range(2):
        run.retention.finish_interrupted()
    stays = {"epoch2", "global_step60"}
    assert {path.name for path in run.run_dir.iterdir() if path.is_dir()} == stays
    assert sorted(run.machine.messages(EventKind.CHECKPOINT)) == sorted(
        f"{name} was deleted, as the rule for this training says"
        for name in {f"epoch{n}" for n in range(1, 7)} | {f"global_step{n}0" for n in range(1, 7)}
        if name not in stays
    )
    assert not list(run.run_dir.parents[1].glob(".deletion-*"))


def test_start_deletes_nothing_that_no_deletion_had_begun(run: Run):
    run.choose("epoch1")
    run.retention.put("a", RetentionRule(keep_last=1), "ann")
    run.choose(None)
    run.retention.finish_interrupted()
    assert run.left() == {"epoch1", "epoch6", "global_step60"}


class Schedule:
    """A random schedule of one training, and what must stay according to its own bookkeeping."""

    def __init__(self, machine: TrainingMachine, seed: int) -> None:
        self.random = Random(seed)
        self.run = Run(machine, f"t{seed}", keep_last_checkpoints=self.random.choice([None, None, 1, 3]))
        self.limit = self.run.machine.task(self.run.task_id).request.keep_last_checkpoints
        self.rule: RetentionRule | None = None
        self.saved: list[str] = []  # oldest first
        self.ratings: dict[str, int] = {}
        self.chosen: str | None = None
        self.users: dict[str, list[str]] = {}
        self.epoch = 0
        self.kills = self.deletions = 0
        self.missing: set[str] = set()

    def play(self, monkeypatch: pytest.MonkeyPatch) -> None:
        actions = [self.save, self.save, self.save, self.choose, self.rate, self.resume, self.use, self.finish_user]
        for _ in range(self.random.randint(10, 25)):
            self.random.choice(actions)()
            if self.random.random() < 0.2:
                self.rule = RetentionRule(*(self.random.choice([None, 1, 2, 3, 4]) for _ in range(3)))
                self._guarded(lambda: self.run.retention.put(self.run.task_id, self.rule or OFF, "ann"), monkeypatch)
                # A kill may have come before the rule was stored.
                self.rule = RetentionStore(self.run.machine.database).rules_of(self.run.task_id)[0]
            else:
                self._guarded(lambda: self.run.retention.apply(self.run.task_id), monkeypatch)

    def save(self) -> None:
        self.epoch += 1
        for name in (f"epoch{self.epoch}", f"global_step{self.epoch * 10}"):
            if name.startswith("epoch") or self.random.random() < 0.7:
                self._forget(name)
                self.run.save(name, 10)
                self.saved.append(name)

    def choose(self) -> None:
        models = [name for name in self.saved if name.startswith("epoch")]
        self.chosen = self.random.choice([None, *models])
        self.run.choose(self.chosen)

    def rate(self) -> None:
        models = [name for name in self.saved if name.startswith("epoch")]
        if models:
            model = self.random.choice(models)
            self.ratings[model] = self.random.randint(0, 5)
            self.run.rate(model, self.ratings[model])

    def resume(self) -> None:
        """Continue from an older checkpoint: later epochs are saved again under the same names."""
        found = [name for name in self.saved if name.startswith("global_step")]
        if found:
            name = self.random.choice(found)
            checkpoints.prepare_resume(self.run.run_dir, name)
            self.epoch = int(name.removeprefix("global_step")) // 10

    def use(self) -> None:
        if self.saved:
            names = self.random.sample(self.saved, self.random.randint(1, min(3, len(self.saved))))
            self.users[self.run.needed_by(TaskType.SAMPLE, checkpoints=names)] = names

    def finish_user(self) -> None:
        if self.users:
            user = self.random.choice(list(self.users))
            del self.users[user]
            with self.run.machine.database.write() as connection:
                mine = update(task_table).where(task_table.c.task_id == user)
                connection.execute(mine.values(status=TaskStatus.COMPLETED))

    def must_stay(self) -> set[str]:
        """Return what must stay, from what the schedule did."""
        models = [name for name in self.saved if name.startswith("epoch")]
        steps = [name for name in self.saved if name.startswith("global_step")]
        latest = (self.run.run_dir / "latest").read_text() if steps else ""
        kept = {self.chosen, latest, *models[-1:]} | {name for names in self.users.values() for name in names}
        rule = self.rule or OFF
        if not rule.is_on:
            kept.update(models)
        if rule.keep_last is not None:
            kept.update(models[-rule.keep_last :])
        if rule.keep_every is not None:
            kept.update(name for name in models if int(name[5:]) % rule.keep_every == 0)
        if rule.keep_rated is not None:
            kept.update(name for name in models if self.ratings.get(name, -1) >= rule.keep_rated)
        limit = self.limit if self.rule is None else rule.keep_last
        kept.update(steps if limit is None else steps[-limit:])
        return {name for name in kept if name in self.saved}

    def _guarded(self, act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Act, perhaps until a kill or a failure of the database, and check what is left."""
        must, is_killed = self.must_stay(), False
        with monkeypatch.context() as patched:
            if self.random.random() < 0.6:
                self._plan_kill(patched)
            try:
                act()
            except Killed:
                is_killed = True
                self.kills += 1
            except DatabaseUnavailable:
                is_killed = True
        left = self.run.left()
        assert must <= left, f"lost: {must - left}"
        for name in left:
            # Half of a model is never left under its name.
            assert any(path.stat().st_size for path in (self.run.run_dir / name).iterdir())
        if not is_killed:
            assert left == must
        for name in set(self.saved) - left:
            self._forget(name)
            self.deletions += 1

    def _forget(self, name: str) -> None:
        if name in self.saved:
            self.saved.remove(name)

    def _plan_kill(self, patched: pytest.MonkeyPatch) -> None:
        """Kill before or after a rename, in the deletion of a hidden directory, or fail before the commit."""
        left, point = self.random.randint(1, 4), self.random.choice(["before", "after", "tree", "event", "database"])
        hide, tree, append = checkpoints.hide, checkpoints.remove_tree, event_store.append

        def is_time() -> bool:
            nonlocal left
            left -= 1
            return left == 0

        def kill_hide(run_dir: Path, name: str) -> None:
            is_now = is_time()
            if is_now and point == "before":
                raise Killed
            hide(run_dir, name)
            if is_now:
                raise Killed

        def kill_tree(path: str, *more: Any) -> None:
            if is_time():
                for file in list(Path(path).iterdir())[:1]:
                    file.unlink()
                raise Killed
            tree(path, *more)

        def kill_append(*arguments: Any, **more: Any) -> None:
            if is_time():
                raise Killed if point == "event" else DatabaseUnavailable
            append(*arguments, **more)

        targets: dict[str, tuple[Any, str, Any]] = {"tree": (checkpoints, "remove_tree", kill_tree)}
        targets |= dict.fromkeys(("before", "after"), (checkpoints, "hide", kill_hide))
        patched.setattr(*targets.get(point, (event_store, "append", kill_append)))


@pytest.mark.parametrize("first", range(0, length(200, 40), 20))
def test_nothing_that_must_stay_is_deleted_in_random_schedules(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch, first: int
):
    hurry(machine.database)
    kills = deletions = 0
    for seed in range(first, first + 20):
        schedule = Schedule(machine, seed)
        schedule.play(monkeypatch)
        kills, deletions = kills + schedule.kills, deletions + schedule.deletions
    # The schedules really delete, and are really killed in the middle.
    assert kills > 3
    assert deletions > 30
