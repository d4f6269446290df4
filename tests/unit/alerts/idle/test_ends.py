"""The end of an idle machine: announced, held, carried out once, and only after the chosen models are safe."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from api.alerts.facts.site_facts import ServiceFacts, ServiceSources, StartLog
from api.alerts.idle import copies as idle_copies
from api.alerts.idle.copies import ChosenCopies
from api.alerts.idle.ends import INTERRUPTED_SECONDS, ConfiguredEnd, FakeMachineEnd, IdleEnds
from api.alerts.idle.pushes import ChosenPushes
from api.alerts.idle.store import IdleStore
from api.alerts.records.fact_store import AlertFactStore
from api.catalog.transfers.pushes import PushOrder
from api.catalog.transfers.views import PushStatus
from api.db.leadership import Leadership
from api.domain.access.audit import AuditEntry
from api.domain.access.principal import LOCAL, ROLE_PERMISSIONS, Credential, Principal, Role
from api.domain.alerts.idle_end import IdleAction, IdleRule, IdleStage
from api.errors import NotYours
from tests.unit.alerts.acting import ActingMachine
from tests.unit.files.weights.stand_ins import write_stand_in
from tests.unit.trainings import RUN_DIR, TrainingMachine

RULE = IdleRule(IdleAction.POWER_OFF, 600.0, 300.0)
ANN, BOB = (
    Principal(name, Role.TRAINER, ROLE_PERMISSIONS[Role.TRAINER], Credential.KEY, key_id=f"key_{name}")
    for name in ("ann", "bob")
)


@dataclass
class Rented:
    """A machine that is switched off when it is idle; the end is a fake."""

    acting: ActingMachine
    target: Path | None = None
    rule: IdleRule = RULE
    end: FakeMachineEnd = field(default_factory=FakeMachineEnd)
    audited: list[AuditEntry] = field(default_factory=list)
    servers: int = 0
    library: Any = None  #: a FakeLibrary, to which the chosen models are pushed

    def __post_init__(self) -> None:
        self.machine, self.clock = self.acting.machine, self.acting.clock
        self.store = IdleStore(self.machine.database, "here")
        self.server = self.start_server()

    def start_server(self) -> IdleEnds:
        """Return the loop of a new process, which knows nothing of an earlier one."""
        self.servers += 1
        name = f"server {self.servers}"
        models, root, library = self.machine.tasks.chosen_models, self.machine.root, self.library
        copies = ChosenCopies(models, root, self.target)
        pushes = ChosenPushes(
            models, root, self.machine.parts.services.files, library, library, None if library is None else "ann/models"
        )
        leadership = Leadership(self.machine.database, "idle of here", lambda: name, self.clock, lambda other: False)
        return IdleEnds(
            ConfiguredEnd(self.rule, copies, pushes, self.end),
            self.store,
            self.acting.idle,
            leadership,
            "here",
            self.clock,
            self.audited.append,
        )

    def restart(self) -> None:
        """Replace the process as after a kill; the new one leads when the lease of the old one is over."""
        self.server = self.start_server()
        self.server._leadership._is_gone = lambda other: True

    def wait(self, seconds: float, step: float = 10.0) -> IdleStage:
        """Let time pass, with rounds; return the stage."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.server.run_once()
        return self.server.find().stage

    @property
    def results(self) -> list[str]:
        return [entry.after["result"] for entry in self.audited]


@pytest.fixture
def rented(machine: TrainingMachine) -> Rented:
    rented = Rented(ActingMachine(machine))
    rented.server.run_once()
    return rented


def test_idle_machine_ends_once_after_an_announced_countdown(rented: Rented):
    assert rented.server.find().stage is IdleStage.IDLE
    assert rented.wait(590) is IdleStage.IDLE
    assert rented.wait(20) is IdleStage.COUNTDOWN
    ends_at = rented.server.find().ends_at
    assert ends_at is not None
    assert 280 <= (ends_at - rented.clock.now()).total_seconds() <= 300
    assert (rented.wait(280), rented.end.count) == (IdleStage.COUNTDOWN, 0)
    assert (rented.wait(20), rented.end.count) == (IdleStage.ENDED, 1)
    assert rented.results == ["started", "done"]
    rented.wait(2_000, step=100)
    rented.restart()
    rented.wait(2_000, step=100)
    assert rented.end.count == 1


def test_work_ends_the_countdown_and_lets_the_machine_end_again(rented: Rented):
    rented.wait(700)
    rented.machine.put()
    assert rented.wait(10) is IdleStage.BUSY
    rented.machine.request_task_stop()
    rented.machine.train()
    assert rented.wait(590) is IdleStage.IDLE
    assert (rented.wait(400), rented.end.count) == (IdleStage.ENDED, 1)
    rented.machine.put("b")
    assert rented.wait(10) is IdleStage.BUSY
    rented.machine.request_task_stop("b")
    rented.machine.train()
    rented.wait(1_000)
    assert rented.end.count == 2


def test_hold_outlives_a_kill_and_is_followed_by_a_whole_countdown(rented: Rented):
    rented.wait(700)
    assert rented.server.hold(1_800, ANN).stage is IdleStage.HELD
    rented.restart()
    assert (rented.wait(1_790), rented.end.count) == (IdleStage.HELD, 0)
    assert rented.wait(20) is IdleStage.COUNTDOWN
    assert (rented.wait(270), rented.end.count) == (IdleStage.COUNTDOWN, 0)
    rented.wait(40)
    assert rented.end.count == 1


def test_open_hold_lasts_until_it_is_ended(rented: Rented):
    rented.server.hold(None, ANN)
    assert (rented.wait(20_000, step=200), rented.server.find().held_until) == (IdleStage.HELD, None)
    with pytest.raises(NotYours):
        rented.server.release(BOB)
    with pytest.raises(NotYours):
        rented.server.hold(60, BOB)
    rented.server.release(LOCAL)
    assert rented.wait(10) is IdleStage.COUNTDOWN


def test_kill_in_the_countdown_starts_it_anew_and_the_machine_ends_once(rented: Rented):
    rented.wait(890)
    rented.restart()
    assert rented.wait(590) is not IdleStage.COUNTDOWN
    rented.wait(400)
    assert rented.end.count == 1


def test_one_of_several_servers_acts(rented: Rented):
    others = [rented.start_server() for _ in range(2)]
    for _ in range(150):
        rented.clock.advance(10.0)
        for server in (*others, rented.server):
            server.run_once()
    assert rented.end.count == 1


def test_kill_while_it_ends_is_reported_and_not_repeated(rented: Rented):
    rented.wait(700)
    assert rented.store.begin(rented.clock.steady.now())
    rented.restart()
    assert rented.wait(INTERRUPTED_SECONDS - 20) is IdleStage.ENDING
    assert (rented.wait(40), rented.end.count) == (IdleStage.BLOCKED, 0)
    code = rented.server.find().problem_code
    assert code is not None
    assert code.code == "end_interrupted"
    rented.server.release(LOCAL)
    rented.wait(1_000)
    assert rented.end.count == 1


def test_hold_or_queued_task_at_the_last_moment_prevents_the_end(rented: Rented):
    rented.wait(700)
    rented.store.hold("ann", None, rented.clock.now())
    assert not rented.store.begin(rented.clock.now())
    rented.store.hold(None, None, rented.clock.now())
    rented.machine.put()
    assert not rented.store.begin(rented.clock.now())


def test_failed_end_says_why_and_raises_the_alert(rented: Rented, tmp_path: Path):
    rented.end.problem = "/bin/off ended with 1: not permitted"
    starts = StartLog(tmp_path / "starts.json", "n", lambda other: True, rented.clock)
    facts = ServiceFacts(
        "here",
        lambda: None,
        starts,
        AlertFactStore(rented.machine.database),
        rented.clock,
        ServiceSources(find_end=rented.server.find),
    )

    def fact() -> float:
        return facts.table(rented.machine.gpus.state).value("idle_end", 0)

    assert fact() == 0
    rented.wait(700)
    assert fact() == 1
    assert (rented.wait(300), fact()) == (IdleStage.BLOCKED, 2)
    values = facts.table(rented.machine.gpus.state).targets[0].summary_values
    assert "not permitted" in values["idle_problem"]
    assert rented.audited[-1].code == "idle_end_failed"


# -- copies ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def chosen(machine: TrainingMachine, tmp_path: Path) -> Rented:
    """A machine with a chosen model, and a folder for its copy."""
    machine.run()
    run_dir = machine.files().output / RUN_DIR / "epoch2"
    run_dir.mkdir(parents=True)
    (run_dir / "adapter_model.safetensors").write_bytes(b"weights" * 10_000)
    machine.end()
    machine.free_gpus()
    machine.tasks.choose("a", "epoch2", machine.clock.now(), "ann", lambda: None)
    machine.clock.advance(100)
    machine.gpus._monitor.sweep()
    rented = Rented(ActingMachine(machine), tmp_path / "away")
    rented.server.run_once()
    return rented


def test_chosen_models_are_copied_before_the_end(chosen: Rented):
    target = chosen.target
    assert target is not None
    target.mkdir()
    chosen.wait(1_000)
    assert chosen.end.count == 1
    (copy,) = target.glob("a/*")
    assert copy.read_bytes() == b"weights" * 10_000


def _spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_copies, "write_all", lambda handle, content, offset: os.pwrite(handle, b"x", offset))


def _remove_model(chosen: Rented) -> None:
    next(chosen.machine.files().output.glob("*/epoch2/*")).unlink()


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda chosen, target, patch: target.rmdir(), "copy_folder_missing"),
        (lambda chosen, target, patch: _spoil(patch), "copy_failed"),
        (lambda chosen, target, patch: _remove_model(chosen), "copy_failed"),
        (lambda chosen, target, patch: (target / "a").write_text("in the way"), "copy_failed"),
    ],
    ids=["no folder", "wrong bytes", "no model", "not writable"],
)
def test_failed_copy_prevents_the_end(
    chosen: Rented, monkeypatch: pytest.MonkeyPatch, break_it: Callable[..., Any], code: str
):
    target = chosen.target
    assert target is not None
    target.mkdir()
    break_it(chosen, target, monkeypatch)
    assert (chosen.wait(1_000), chosen.end.count) == (IdleStage.BLOCKED, 0)
    found = chosen.server.find().problem_code
    assert found is not None
    assert found.code == code
    assert list(target.glob("a/.*")) == []


def test_copy_goes_on_after_the_problem_is_solved(chosen: Rented):
    chosen.wait(1_000)
    assert chosen.target is not None
    chosen.target.mkdir()
    chosen.server.release(LOCAL)
    assert (chosen.wait(280), chosen.end.count) == (IdleStage.COUNTDOWN, 0)
    chosen.wait(100)
    assert chosen.end.count == 1


def test_hold_interrupts_a_copy(chosen: Rented, monkeypatch: pytest.MonkeyPatch):
    assert chosen.target is not None
    chosen.target.mkdir()
    chosen.wait(700)
    monkeypatch.setattr(idle_copies, "_CHUNK", 100)
    original = idle_copies.write_all

    def write(handle: int, content: bytes, offset: int) -> None:
        if offset == 1_000:
            chosen.server.hold(None, ANN)
        chosen.clock.advance(1.0)
        original(handle, content, offset)

    monkeypatch.setattr(idle_copies, "write_all", write)
    assert (chosen.wait(300), chosen.end.count) == (IdleStage.HELD, 0)
    assert list(chosen.target.glob("a/*")) == []


@pytest.mark.parametrize("seed", range(int(os.environ.get("IDLE_SEEDS", "3"))))
def test_kills_holds_and_work_at_random_moments_never_end_the_machine_twice_or_wrongly(
    machine: TrainingMachine, seed: int
):
    rented = Rented(ActingMachine(machine), rule=IdleRule(IdleAction.COMMAND, 120.0, 60.0))
    chance = Random(seed)
    count, has_worked, held_until = 0, True, 0.0
    for step in range(150):
        rented.clock.advance(chance.choice((2.0, 20.0, 40.0)))
        what = chance.random()
        if what < 0.06:
            rented.restart()
        elif what < 0.09:
            # A hold lets a blocked machine try again.
            has_worked |= rented.server.find().stage is IdleStage.BLOCKED
            seconds = chance.choice((60.0, 900.0))
            rented.server.hold(seconds, LOCAL)
            held_until = rented.clock.monotonic() + seconds
        elif what < 0.12:
            rented.machine.put(f"t{step}")
            rented.server.run_once()
            has_worked = True
            rented.machine.request_task_stop(f"t{step}")
            rented.machine.train()
        elif what < 0.14:
            # The process dies after the action has begun, if it may begin.
            has_worked &= not rented.store.begin(rented.clock.steady.now())
            rented.restart()
        rented.server.run_once()
        if rented.end.count > count:
            assert rented.end.count == count + 1
            assert has_worked
            assert rented.clock.monotonic() >= held_until
            count, has_worked = rented.end.count, False


# -- pushes ----------------------------------------------------------------------------------------------------------


@dataclass
class FakeLibrary:
    """The library of saved models with its pushes, which all have one status."""

    status: PushStatus = PushStatus.PUSHING
    names: dict[str, str] = field(default_factory=dict)  #: of the models by key of the push

    def find_file(self, sha256: str) -> None:
        """Know no file."""

    def register(self, name: str, task_id: str, artifact: str, principal: Principal) -> Any:
        return SimpleNamespace(model=name, version=1)

    def start(
        self, name: str, version: str, order: PushOrder, token: None, principal: Principal, idempotency_key: str = ""
    ) -> Any:
        self.names[idempotency_key] = f"{name} v{version} to {order.repository}"
        failure = SimpleNamespace(detail="The token may not write.") if self.status is PushStatus.FAILED else None
        return SimpleNamespace(status=self.status, failure=failure)


@pytest.fixture
def pushed(chosen: Rented) -> Rented:
    """A machine whose chosen model is being pushed."""
    chosen.target, chosen.library = None, FakeLibrary()
    chosen.restart()
    return chosen


@pytest.mark.parametrize("status", [PushStatus.COMPLETED, PushStatus.CANCELLED])
def test_machine_ends_when_its_chosen_models_are_pushed(pushed: Rented, status: PushStatus):
    pushed.wait(20)
    assert list(pushed.library.names.values()) == ["a v1 to ann/models"]
    assert (pushed.wait(1_000), pushed.end.count) == (IdleStage.COUNTDOWN, 0)
    pushed.library.status = status
    assert (pushed.wait(10), pushed.end.count) == (IdleStage.ENDED, 1)
    assert len(pushed.library.names) == 1


@pytest.mark.parametrize("status", [PushStatus.FAILED, PushStatus.PAUSED])
def test_failed_push_prevents_the_end_until_it_is_resumed(pushed: Rented, status: PushStatus):
    pushed.library.status = status
    assert (pushed.wait(1_000), pushed.end.count) == (IdleStage.BLOCKED, 0)
    found = pushed.server.find()
    assert found.problem_code is not None
    assert found.problem_code.code == "idle_push_failed"
    assert ("may not write." if status is PushStatus.FAILED else "paused.") in (found.problem or "")
    pushed.library.status = PushStatus.COMPLETED
    pushed.server.release(LOCAL)
    pushed.wait(400)
    assert pushed.end.count == 1


def test_deleted_model_prevents_the_end(pushed: Rented):
    _remove_model(pushed)
    assert (pushed.wait(1_000), pushed.end.count) == (IdleStage.BLOCKED, 0)


# -- reading files again -----------------------------------------------------------------------------------------------


@pytest.fixture
def count_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that returns how many bytes were read of files since its last call."""
    counted, original = [0], os.pread

    def pread(*arguments: int) -> bytes:
        found = original(*arguments)
        counted[0] += len(found)
        return found

    monkeypatch.setattr(os, "pread", pread)

    def count() -> int:
        found, counted[0] = counted[0], 0
        return found

    return count


@pytest.fixture
def copied_and_pushed(pushed: Rented, tmp_path: Path) -> Rented:
    """A machine whose countdown is over, whose chosen model is copied, and still being pushed."""
    pushed.target = tmp_path / "away"
    pushed.target.mkdir()
    model = next(pushed.machine.files().output.glob("*/epoch2/*"))
    write_stand_in(model, {"lora_A.weight": [64, 512], "lora_B.weight": [512, 64]}, "BF16", {"format": "pt"})
    pushed.restart()
    assert (pushed.wait(1_000), pushed.end.count) == (IdleStage.COUNTDOWN, 0)
    return pushed


def test_rounds_during_a_push_do_not_read_unchanged_models_again(
    copied_and_pushed: Rented, count_bytes: Callable[[], int]
):
    count_bytes()
    assert copied_and_pushed.wait(50) is IdleStage.COUNTDOWN
    assert count_bytes() < 64 * 512  # the header in each round, and no tensors
    copied_and_pushed.library.status = PushStatus.COMPLETED
    copied_and_pushed.wait(10)
    assert copied_and_pushed.end.count == 1


def test_model_that_changes_during_a_push_is_copied_and_pushed_again(copied_and_pushed: Rented):
    model = next(copied_and_pushed.machine.files().output.glob("*/epoch2/*"))
    before, keys = model.stat(), len(copied_and_pushed.library.names)
    with model.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert copied_and_pushed.wait(10) is IdleStage.COUNTDOWN
    assert len(copied_and_pushed.library.names) == keys + 1
    assert copied_and_pushed.target is not None
    assert next(copied_and_pushed.target.glob("a/*")).read_bytes() == model.read_bytes()


def test_model_whose_metadata_change_during_a_push_is_pushed_again(copied_and_pushed: Rented):
    keys = len(copied_and_pushed.library.names)
    copied_and_pushed.machine.tasks.patch("a", {"tags": ["cats"]}, copied_and_pushed.clock.now(), "ann")
    copied_and_pushed.wait(10)
    assert len(copied_and_pushed.library.names) == keys + 1


def test_spoiled_copy_is_found_and_replaced(copied_and_pushed: Rented):
    assert copied_and_pushed.target is not None
    copy = next(copied_and_pushed.target.glob("a/*"))
    expected = copy.read_bytes()
    copy.write_bytes(b"x" * len(expected))
    copied_and_pushed.wait(10)
    assert copy.read_bytes() == expected
