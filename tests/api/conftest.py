"""Servers without their threads, for tests that say themselves when time passes and what happens to a training."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from api import main
from api.composition.composition import Runtime
from api.config import Config
from api.domain.access import AccessKey, Role
from api.domain.task import ProcessIdentity
from api.executors.executor import Outcome
from api.executors.fake import FakeExecutor, outcome
from api.files.media.decoder import MediaDecoder
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource
from api.util.clock import Clock
from api.util.key_format import hash_of, new_key
from tests.api.client import Client, client_of
from tests.api.quick_worlds import keep_compiled_rules, provide_database
from tests.databases import hurry

keep_compiled_rules()

TRAINING = "/api/v1/training"
RUN_DIR = "20260101_00-00-00"

#: A whole request.
TOY: dict[str, Any] = {"model_type": "toy", "config": {"epochs": 3}}

COMPLETED = outcome(phrases=["TRAINING COMPLETE!"])


@dataclass(frozen=True)
class World:
    """One server without its threads: a test sweeps when it wants to, and its trainings run as it says."""

    runtime: Runtime
    client: Client
    executor: FakeExecutor

    @property
    def gpus(self) -> GPUService:
        return self.runtime.services.gpus

    @property
    def storage(self) -> Path:
        return self.runtime.config.storage_root

    def sweep(self) -> None:
        self.gpus._monitor.sweep()

    def train(self) -> None:
        """One round of the training loop, which looks at the whole queue as after news."""
        self.runtime.training_loop.wake()
        self.runtime.training_loop.run_once()

    def tell(self) -> None:
        """Tells the streams what is new about trainings."""
        self.runtime.live.news.wake()
        self.runtime.live.news.run_once()

    def start(self, **fields: Any) -> str:
        """Puts a toy training into the queue; its id."""
        made = self.client.post(f"{TRAINING}/start", json={**TOY, **fields})
        assert made.status_code == 201, made.text
        task_id: str = made.json()["data"]["task_id"]
        return task_id

    def run(self, task_id: str | None = None, **fields: Any) -> str:
        """The same, or a task that is there, until it runs."""
        task_id = task_id or self.start(**fields)
        self.train()
        self.executor.runs(self.uid(task_id), ProcessIdentity(4711, 1.0))
        self.train()
        assert self.get(task_id)["status"] == "running"
        return task_id

    def end(self, task_id: str, how: Outcome = COMPLETED) -> str:
        """Lets its latest attempt end, and its GPUs be free again. Its words leave the checkpoint that they tell of."""
        if how.phrases:
            how = self.bear_out(task_id, how)
        self.executor.ends(self.uid(task_id), how)
        self.train()
        self.free_gpus()
        return task_id

    def bear_out(self, task_id: str, how: Outcome) -> Outcome:
        """The same outcome after a step, with a whole checkpoint of its last one."""
        log = self.executor.printed(self.storage / "tasks" / task_id / "log")
        steps = [int(step) for step in re.findall(rb"^steps: (\d+)", log, re.MULTILINE)]
        run_dir = next(iter(sorted(self.output(task_id).glob("2*"))), self.output(task_id) / RUN_DIR)
        there = [int(one.name.removeprefix("global_step")) for one in run_dir.glob("global_step*")]
        last = max([1, *steps, how.last_step or 0])
        if not any(step >= last for step in there):
            self.make_checkpoints(task_id, last)
        return replace(how, last_step=how.last_step or last)

    def free_gpus(self) -> None:
        """Reads the GPUs again, so that those that are draining show that nobody uses them."""
        self.sweep()
        self.train()

    def finish(self, how: Outcome = COMPLETED, **fields: Any) -> str:
        """A training that has run and ended."""
        return self.end(self.run(**fields), how)

    def get(self, task_id: str) -> Any:
        return self.client.data(f"{TRAINING}/{task_id}")

    def uid(self, task_id: str) -> str:
        uid: str = self.get(task_id)["attempts"][-1]["attempt"]
        return uid

    def prints(self, task_id: str, text: str) -> None:
        """Output of its trainer, which the next round reads."""
        self.executor.prints(self.storage / "tasks" / task_id / "log", text.encode())

    def note_progress(self) -> None:
        """A round that keeps the progress in the database, which it does every 2 s."""
        self.runtime.training_loop._reconciler._progress_notes._noted_at = float("-inf")
        self.train()

    def output(self, task_id: str) -> Path:
        directory = self.storage / "tasks" / task_id / "output"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def make_checkpoints(self, task_id: str, *steps: int, complete: bool = True) -> Path:
        """Checkpoints as a trainer leaves them; with `complete=False` the last is still being written."""
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
        """The headers of a new key of this user; with `permissions` these instead of a role's."""
        return {"Authorization": f"Bearer {self.make_key(user_id, role, permissions, expires_at)[1]}"}

    def make_key(
        self,
        user_id: str = "ann",
        role: Role | str | None = Role.TRAINER,
        permissions: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[AccessKey, str]:
        """A new key as it is kept, and the key itself."""
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
        """Revokes a key, which holds at once."""
        access = self.runtime.access
        access.store.revoke(key.key_id, "test", self.runtime.services.clock.now())
        access.ring.refresh()

    def signed_in(self, user_id: str = "ann", role: Role | str | None = Role.TRAINER, **key: Any) -> "World":
        """The same server as this user sees it: every request of it shows a new key of theirs."""
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
    """A server on this storage, which ends with the stack; on simulated GPUs or on the source that is given."""
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
    """One decoder's process for all who ask for it."""
    made = MediaDecoder(1)
    yield made
    MediaDecoder.close(made)


@pytest.fixture
def shared_decoder(decoder: MediaDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every server decode by that one: to start its own would take longer than most tests."""
    monkeypatch.setattr(decoder, "close", lambda: None)
    monkeypatch.setattr("api.composition.dataset_media.MediaDecoder", lambda *given: decoder)


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Servers by their settings, on simulated GPUs or on the source that is given; all on one storage."""
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
    """One server for the tests of a module that leave it as it was: they only read, or are refused."""
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
