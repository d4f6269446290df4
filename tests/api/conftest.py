"""Servers without threads, for tests that control time and the course of trainings."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from api import main
from api.composition.composition import Runtime
from api.config import Config
from api.domain.access.principal import AccessKey, Role
from api.domain.tasks.task import ProcessIdentity
from api.executors.executor import Outcome
from api.executors.fake import FakeExecutor, outcome
from api.files.media.decoder import MediaDecoder
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource
from api.util.clock import Clock
from api.util.text.key_format import hash_of, new_key
from tests.api.client import Client, client_of
from tests.api.quick_worlds import keep_compiled_rules, provide_database
from tests.databases import hurry

keep_compiled_rules()

TRAINING = "/api/v1/training"
RUN_DIR = "20260101_00-00-00"

#: A complete request.
TOY: dict[str, Any] = {"model_type": "toy", "config": {"epochs": 3}}

COMPLETED = outcome(phrases=["TRAINING COMPLETE!"])


@dataclass(frozen=True)
class World:
    """One server without threads: the test triggers sweeps, and decides how trainings run."""

    runtime: Runtime
    client: Client
    executor: FakeExecutor

    @property
    def gpus(self) -> GPUService:
        return self.runtime.services.gpus.service

    @property
    def storage(self) -> Path:
        return self.runtime.config.storage_root

    def sweep(self) -> None:
        self.gpus._monitor.sweep()

    def train(self) -> None:
        """Run one round of the training loop, which reads the whole queue."""
        self.runtime.training_loop.wake()
        self.runtime.training_loop.run_once()

    def publish_news(self) -> None:
        """Publish new events of trainings to the streams."""
        self.runtime.live.news.wake()
        self.runtime.live.news.run_once()

    def start(self, **fields: Any) -> str:
        """Queue a toy training and return its id."""
        made = self.client.post(f"{TRAINING}/start", json={**TOY, **fields})
        assert made.status_code == 201, made.text
        task_id: str = made.json()["data"]["task_id"]
        return task_id

    def run(self, task_id: str | None = None, **fields: Any) -> str:
        """Like `start`, or with an existing task, and continue until it runs."""
        task_id = task_id or self.start(**fields)
        self.train()
        self.executor.runs(self.uid(task_id), ProcessIdentity(4711, 1.0))
        self.train()
        assert self.get(task_id)["status"] == "running"
        return task_id

    def run_transfer(self, task_id: str) -> str:
        """Run a queued download or push; return the id of its attempt."""
        self.train()
        uid = f"{task_id}.1"
        self.executor.runs(uid, ProcessIdentity(4711, 1.0))
        self.train()
        return uid

    def end(self, task_id: str, how: Outcome = COMPLETED) -> str:
        """End its latest attempt and free its GPUs. The checkpoint of the outcome is created."""
        if how.phrases:
            how = self.outcome_with_checkpoint(task_id, how)
        self.executor.ends(self.uid(task_id), how)
        self.train()
        self.free_gpus()
        return task_id

    def outcome_with_checkpoint(self, task_id: str, how: Outcome) -> Outcome:
        """Return the outcome after a step, with a complete checkpoint of the last one."""
        log = self.executor.printed(self.storage / "tasks" / task_id / "log")
        steps = [int(step) for step in re.findall(rb"^steps: (\d+)", log, re.MULTILINE)]
        run_dir = next(iter(sorted(self.output(task_id).glob("2*"))), self.output(task_id) / RUN_DIR)
        there = [int(one.name.removeprefix("global_step")) for one in run_dir.glob("global_step*")]
        last = max([1, *steps, how.last_step or 0])
        if not any(step >= last for step in there):
            self.make_checkpoints(task_id, last)
        return replace(how, last_step=how.last_step or last)

    def free_gpus(self) -> None:
        """Read the GPUs again, so that draining GPUs become free."""
        self.sweep()
        self.train()

    def finish(self, how: Outcome = COMPLETED, **fields: Any) -> str:
        """Run a training until it has ended, and return its id."""
        return self.end(self.run(**fields), how)

    def get(self, task_id: str) -> Any:
        return self.client.data(f"{TRAINING}/{task_id}")

    def uid(self, task_id: str) -> str:
        uid: str = self.get(task_id)["attempts"][-1]["attempt"]
        return uid

    def prints(self, task_id: str, text: str) -> None:
        """Write trainer output, which the next round reads."""
        self.executor.prints(self.storage / "tasks" / task_id / "log", text.encode())

    def note_progress(self) -> None:
        """Run a round that stores the progress, which happens every 2 s."""
        self.runtime.training_loop._reconciler._progress._written_at = float("-inf")
        self.train()

    def output(self, task_id: str) -> Path:
        directory = self.storage / "tasks" / task_id / "output"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def make_checkpoints(self, task_id: str, *steps: int, complete: bool = True) -> Path:
        """Create checkpoints like a trainer; with `complete=False` the last one is unfinished."""
        run_dir = self.output(task_id) / RUN_DIR
        for number, step in enumerate(steps, start=1):
            directory = run_dir / f"global_step{step}"
            directory.mkdir(parents=True)
            (directory / "state.json").write_text("{}")
            if complete or number < len(steps):
                (run_dir / "latest").write_text(directory.name)
        return run_dir

    # -- with AUTH=required ------------------------------------------------------------------------------------------

    def key(
        self,
        user_id: str = "ann",
        role: Role | str | None = Role.TRAINER,
        permissions: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> dict[str, str]:
        """Return the headers of a new key of this user, with `permissions` or a role."""
        return {"Authorization": f"Bearer {self.make_key(user_id, role, permissions, expires_at)[1]}"}

    def make_key(
        self,
        user_id: str = "ann",
        role: Role | str | None = Role.TRAINER,
        permissions: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[AccessKey, str]:
        """Return a new key as it is stored, and its secret."""
        key_id, shown = new_key()
        words = None if permissions is None else tuple(permissions)
        role = None if words is not None or role is None else Role(role)
        now = self.runtime.services.clock.now()
        made = AccessKey(key_id, user_id, f"{user_id}'s", role, words, now, "test", expires_at)
        access = self.runtime.access
        access.store.add(made, hash_of(shown))
        access.ring.refresh()
        return made, shown

    def revoke(self, key: AccessKey) -> None:
        """Revoke a key, with immediate effect."""
        access = self.runtime.access
        access.store.revoke(key.key_id, "test", self.runtime.services.clock.now())
        access.ring.refresh()

    def signed_in(self, user_id: str = "ann", role: Role | str | None = Role.TRAINER, **key: Any) -> "World":
        """Return the same server for a user: every request has a new key of theirs."""
        return replace(self, client=self.client.showing(self.key(user_id, role, **key)))


MakeWorld = Callable[..., World]


def open_world(
    stack: ExitStack,
    storage: Path,
    source: FakeSource | None = None,
    serves_documents: bool = True,
    clock: Clock | None = None,
    executor: FakeExecutor | None = None,
    **settings: Any,
) -> World:
    """Open a server on this storage, closed by the stack, with simulated GPUs or the given source."""
    defaults = {"gpu_source": "simulated", "log_level": "WARNING", "storage_root": storage}
    config = Config(**{**defaults, "min_free_disk_mb": 0, **settings})
    executor = executor or FakeExecutor()
    with ExitStack() as patched:
        if source is not None:
            patched.enter_context(patch("api.composition.composition.create_source", lambda config, clock: source))
        runtime = Runtime(config, clock, executor)
    if not config.database_url:
        provide_database(storage)
    hurry(runtime.database)
    # Otherwise a read on a busy machine fails after 0.7 s, and old values are shown.
    stack.enter_context(patch("api.db.database.shared_wait_limit", nullcontext))
    runtime.prepare()
    runtime.access.ring.refresh()
    runtime.live.news.begin()
    stack.callback(runtime.stop)
    client = stack.enter_context(client_of(main.create_shell(runtime, serves_documents)))
    world = World(runtime, client, executor)
    world.sweep()
    return world


@pytest.fixture(scope="session")
def decoder() -> Iterator[MediaDecoder]:
    """One decoder process for all tests."""
    made = MediaDecoder(1)
    yield made
    MediaDecoder.close(made)


@pytest.fixture
def shared_decoder(decoder: MediaDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every server use that decoder, because starting one takes longer than most tests."""
    monkeypatch.setattr(decoder, "close", lambda: None)
    monkeypatch.setattr("api.composition.library.MediaDecoder", lambda *given: decoder)


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Create servers with these settings, on simulated GPUs or a given source, all on one storage."""
    with ExitStack() as stack:
        yield functools.partial(open_world, stack, tmp_path / "storage")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def client(world: World) -> Client:
    return world.client


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server for the read-only tests of a module."""
    with ExitStack() as stack:
        yield open_world(stack, tmp_path_factory.mktemp("shared") / "storage")


@pytest.fixture(scope="module")
def shared_client(shared_world: World) -> Client:
    return shared_world.client


@pytest.fixture
def source() -> FakeSource:
    return FakeSource(count=4)


@pytest.fixture
def fake_world(make_world: MakeWorld, source: FakeSource) -> World:
    return make_world(source)
