"""With VISIBILITY=own, no sequence of requests reveals anything about another user's tasks.

TWO_PRINCIPALS_STEPS is the number of steps to try; the suite tries few.
"""

import json
import os
import re
import secrets
import tempfile
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from api.catalog.registry.models import NewModelVersion
from api.catalog.registry.store import RegistryStore
from api.domain.machines.reading import XidEvent
from api.domain.tasks.task import ProcessIdentity
from api.executors.fake import outcome
from api.gpus.sources.source import FakeSource
from api.web.operations import Operation, OperationTable, ResourceKind
from tests.api.conftest import COMPLETED, RUN_DIR, TOY, TRAINING, open_world
from tests.api.principals import MARK, User, let_run, neutral, opened, overheard
from tests.api.streams import EVENTS_SOCKET, EVENTS_STREAM, GPU_SOCKET, GPU_STREAM
from tests.unit.builders import process

STEPS = int(os.environ.get("TWO_PRINCIPALS_STEPS", "240"))
STEPS_OF_ONE = 40

#: All operations, so that a new one is tested automatically.
OPERATIONS = OperationTable().all

#: Operations on resources with a name that their owner chose.
NAMED = (ResourceKind.DATASET, ResourceKind.MODEL)

#: Queries by the end of an address; the others have none.
QUERIES: dict[str, list[str]] = {
    "/list": ["", f"search={MARK}", "order=queue", "gpu_id=0", "owner=me", "limit=1", "order=queue&limit=1&cursor=1"],
    "/search": [f"keyword={MARK}", f"regex={MARK}.*&context=2"],
    "/logs": ["", "format=text", "tail=5"],
    "/history": ["metric=utilization_gpu", "metric=memory_used"],
    "/events": ["", "limit=3", "type=task"],
    "/tasks": ["", "limit=1"],
    "/metrics": [""],
    "/registry": ["", f"search={MARK}", f"tag={MARK}"],
    "/events/stream": ["", "topics=gpu", "topics=task,system", "last_event_id=unknown-1"],
}

#: Headers that change the form of responses.
HEADERS: list[dict[str, str]] = [{}, {}, {"If-None-Match": 'W/"unknown"'}, {"Idempotency-Key": "same-for-both"}]

a_number = st.integers(0, 999)
a_user = st.sampled_from(["ada", "bob"])
some_of_tasks = st.lists(
    st.sampled_from([each for each in OPERATIONS if each.resource_kind]), min_size=4, max_size=12, unique=True
)
some_operations = st.lists(st.sampled_from(OPERATIONS), min_size=4, max_size=12, unique=True)


class TwoPrincipals(RuleBasedStateMachine):
    """Two trainers, an administrator, and events on the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        storage = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.source = FakeSource(3)
        self.world = open_world(
            self.stack,
            storage,
            self.source,
            auth="required",
            visibility="own",
            rate_limits=(),
            max_streams_per_client=99,
        )
        self.root = self.world.signed_in("root", "admin")
        self.users = {name: self.sign_in(name) for name in ("ada", "bob")}
        self.pids = 5000
        self.moves = 0
        self.open_streams = AsyncExitStack()
        self.world.client.run(self.open_all())

    def sign_in(self, name: str) -> User:
        user_id = f"{name}-{secrets.token_hex(4)}"
        return User(user_id, self.world.signed_in(user_id), f"{MARK}-{secrets.token_hex(6)}")

    def other(self, user: User) -> User:
        return next(each for each in self.users.values() if each is not user)

    # -- open streams --------------------------------------------------------------------------------------------------

    async def open_all(self) -> None:
        await self.open_streams.enter_async_context(self.world.client.live())
        for user in self.users.values():
            for path in (EVENTS_STREAM, EVENTS_SOCKET, GPU_STREAM, GPU_SOCKET):
                talk = await self.open_streams.enter_async_context(opened(user, path))
                user.streams.append(talk)

    @invariant()
    def no_stream_tells_of_the_other(self) -> None:
        self.world.publish_news()
        self.world.client.run(let_run())
        for user in self.users.values():
            for talk in user.streams:
                while not talk._from_app.empty():
                    self.check(user, "", str(talk._from_app.get_nowait()))

    # -- actions of the users ------------------------------------------------------------------------------------------

    @rule(
        who=a_user, gpus=st.sampled_from([{}, {"gpu_id": 0}, {"gpu_ids": [1, 2]}, {"gpu_count": 3}]), wait=st.booleans()
    )
    def start(self, who: str, gpus: dict[str, Any], wait: bool) -> None:
        user = self.users[who]
        words = {"name": f"n-{user.mark}", "description": f"d-{user.mark}"}
        words |= {"env": {"DIFFUSERS_VERBOSITY": user.mark, "HF_TOKEN": f"hf_{user.mark}"}}
        config = {"model_type": "toy", "config_toml": f"# {user.mark}\nepochs = 3\n[model]\ntype = 'toy'\n"}
        self.do(user, "POST", f"{TRAINING}/start", json={**(config if wait else TOY), **words, **gpus, "queue": wait})

    @rule(who=a_user, gpu=st.integers(0, 2), with_pid=st.booleans())
    def register(self, who: str, gpu: int, with_pid: bool) -> None:
        user = self.users[who]
        body = {"gpu_ids": [gpu], "task_type": "external", "description": user.mark}
        body |= {"pid": os.getpid()} if with_pid else {}
        self.do(user, "POST", "/api/v1/gpu/tasks", json=body)

    @rule(who=a_user)
    def make_dataset(self, who: str) -> None:
        user = self.users[who]
        name = f"set-{secrets.token_hex(6)}"
        user.datasets.append(name)
        self.do(user, "POST", "/api/v1/datasets", json={"name": name, "description": user.mark, "tags": [user.mark]})
        # A model with the same name and a version that no other part of the training needs.
        now = self.world.runtime.services.clock.now()
        models = RegistryStore(self.world.runtime.database)
        models.ensure(name, user.name, now)
        result = {"task_id": user.mark}
        new = NewModelVersion("0" * 64, 8, user.name, user.mark, user.mark, (user.mark,), result, result)
        models.add_version(name, new, [], now)

    @rule(who=a_user, number=a_number)
    def tell_progress(self, who: str, number: int) -> None:
        user = self.users[who]
        if user.ids:
            path = f"/api/v1/gpu/tasks/{user.ids[number % len(user.ids)]}"
            self.do(user, "PATCH", path, json={"progress": number / 10})

    # -- events --------------------------------------------------------------------------------------------------------

    @rule()
    def run_all(self) -> None:
        """Start what can start, each with a process whose command line contains its owner's secret."""
        self.world.train()
        for row in self.tasks("status=starting"):
            self.pids += 1
            self.world.executor.runs(self.root.uid(row["task_id"]), ProcessIdentity(self.pids, 1.0))
            owner = self.owner_of(row)
            if owner is not None:
                self.put_process(row["gpu_ids"], self.pids, f"python {owner.mark} {row['task_id']}")
        self.world.train()
        self.world.sweep()

    def put_process(self, gpus: list[int], pid: int, command: str) -> None:
        self.moves += 1
        for gpu in gpus:
            self.source.processes[gpu] = (process(pid, command=command),)
            # A changed value causes the processes to be read again.
            self.source.set_memory(gpu, 8000 + 100 * (self.moves % 20))

    @rule(number=a_number)
    def print_lines(self, number: int) -> None:
        for row in self.tasks("status=running"):
            owner = self.owner_of(row)
            if owner is not None:
                self.world.prints(row["task_id"], f"{owner.mark}\nsteps: {number} loss: 0.5 {owner.mark}\n")
        self.world.note_progress()

    @rule(fails=st.booleans(), leaves_process=st.booleans())
    def end_one(self, fails: bool, leaves_process: bool) -> None:
        for row in self.tasks("status=running,stopping")[:1]:
            owner = self.owner_of(row)
            (self.world.output(row["task_id"]) / "note.txt").write_text(owner.mark if owner else "")
            if not leaves_process:
                for gpu in row["gpu_ids"]:
                    self.source.processes[gpu] = ()
                    self.source.set_memory(gpu, 400)
            how = outcome(exit_code=3) if fails else self.world.outcome_with_checkpoint(row["task_id"], COMPLETED)
            self.world.executor.ends(self.root.uid(row["task_id"]), how)
            self.world.train()
            self.world.free_gpus()

    @rule(gpu=st.integers(0, 2), who=a_user)
    def leave_a_program(self, gpu: int, who: str) -> None:
        """Start an unregistered program of a user."""
        self.put_process([gpu], 4242, f"/home/{self.users[who].name}/{self.users[who].mark}")
        self.world.sweep()

    @rule()
    def clear_programs(self) -> None:
        for gpu in range(3):
            self.source.processes[gpu] = ()
            self.source.set_memory(gpu, 400)
        self.world.sweep()

    @rule(gpu=st.integers(0, 2), code=st.sampled_from([13, 31, 79]))
    def report_xid(self, gpu: int, code: int) -> None:
        self.source.xids.append(XidEvent(self.source.identities[gpu].uuid, code))
        self.world.gpus.read_xids()

    @rule(number=a_number, stops=st.booleans())
    def administer(self, number: int, stops: bool) -> None:
        rows = self.tasks("")
        if rows:
            task_id = rows[number % len(rows)]["task_id"]
            self.root.client.patch(f"{TRAINING}/{task_id}", json={"priority": number})
            if stops:
                self.root.client.post(f"{TRAINING}/{task_id}/stop", json={})

    def tasks(self, query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.root.client.data(f"{TRAINING}/list?limit=500&{query}")["tasks"]
        return rows

    def owner_of(self, row: dict[str, Any]) -> User | None:
        return next((user for user in self.users.values() if user.name == row["owner"]), None)

    # -- requests ------------------------------------------------------------------------------------------------------

    @rule(who=a_user, operations=some_operations, number=a_number, headers=st.sampled_from(HEADERS))
    def ask(self, who: str, operations: list[Operation], number: int, headers: dict[str, str]) -> None:
        for at, operation in enumerate(operations):
            self.ask_one(self.users[who], operation, number + at, headers)

    @rule(who=a_user, operations=some_of_tasks, number=a_number)
    def ask_for_the_others(self, who: str, operations: list[Operation], number: int) -> None:
        """Responses about the other user's task are the same as about an unknown one."""
        user = self.users[who]
        other = self.other(user)
        for at, operation in enumerate(operations):
            if other.datasets if operation.resource_kind in NAMED else other.ids:
                self.compare(user, operation, number + at)

    def compare(self, user: User, operation: Operation, number: int) -> None:
        other = self.other(user)
        ids = other.datasets if operation.resource_kind in NAMED else other.ids
        foreign = ids[number % len(ids)]
        absent = foreign[:-1] + ("0" if foreign[-1] != "0" else "1")
        result = self.say(user, operation, self.fill(operation, foreign, number), number, {})
        same = self.say(user, operation, self.fill(operation, absent, number), number, {})
        assert neutral(result, foreign) == neutral(same, absent)
        assert operation.resource_kind is ResourceKind.REGISTRATION or result.status_code in (404, 422), result.text

    def ask_one(self, user: User, operation: Operation, number: int, headers: dict[str, str]) -> None:
        ids = [*user.ids, *self.other(user).ids] or ["train_20260101_00000000"]
        if operation.resource_kind in NAMED:
            ids = [*user.datasets, *self.other(user).datasets, "nobodys"]
        path = self.fill(operation, ids[number % len(ids)], number)
        answer = self.say(user, operation, path, number, headers)
        self.check(user, path, f"{answer.headers} {answer.text}")

    def fill(self, operation: Operation, task_id: str, number: int) -> str:
        known = {
            "task_id": task_id,
            "name": task_id,
            "gpu_id": str(number % 3),
            "attempt_uid": f"{task_id}.1",
            "path": ["note.txt", f"{RUN_DIR}/latest"][number % 2],
        }
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda place: known.get(place[1], "unknown"), operation.pattern)

    def say(self, user: User, operation: Operation, path: str, number: int, headers: dict[str, str]) -> httpx.Response:
        choices = next((some for end, some in QUERIES.items() if operation.pattern.endswith(end)), [""])
        query = choices[number % len(choices)]
        if operation.method == "WEBSOCKET" or operation.pattern.endswith("/stream"):
            return self.world.client.run(overheard(user, path, query, headers))
        body = {"json": self.body(user, operation, number)} if operation.changes else {}
        return self.do(user, operation.method, f"{path}?{query}" if query else path, headers=headers, **body)

    def body(self, user: User, operation: Operation, number: int) -> dict[str, Any]:
        if operation.pattern.endswith(("/start", "/validate")):
            return {**TOY, "name": user.mark, "gpu_count": 1 + number % 3, "queue": number % 2 == 0}
        if operation.pattern.endswith("/gpu/tasks"):
            return {"gpu_ids": [number % 3], "task_type": "training", "description": user.mark}
        if operation.pattern.endswith("/captions"):
            return {"prefix": user.mark}
        if operation.method == "PATCH":
            return {"progress": 5} if "/gpu/" in operation.pattern else {"description": user.mark}
        return {}

    def do(self, user: User, method: str, path: str, **options: Any) -> httpx.Response:
        answer = user.client.ask(method, path, **options)
        assert answer.status_code < 500 or answer.status_code in (501, 503, 507), answer.text
        self.check(user, path, f"{answer.headers} {answer.text}")
        if method != "GET" and answer.status_code == 201 and "task_id" in (answer.json()["data"] or {}):
            user.ids.append(answer.json()["data"]["task_id"])
        return answer

    def check(self, user: User, request_text: str, result: str) -> None:
        """Check that nothing of the other user is in the response, except what the request contained."""
        for secret in self.other(user).secrets:
            assert secret not in result or secret in request_text, f"{secret} in {result}"

    # -- invariants ----------------------------------------------------------------------------------------------------

    @invariant()
    def each_has_all_their_own_and_the_administrator_everything(self) -> None:
        every = self.tasks("")
        for user in self.users.values():
            own = user.client.data(f"{TRAINING}/list?limit=500")
            mine = [row["task_id"] for row in every if row["owner"] == user.name]
            assert [row["task_id"] for row in own["tasks"]] == mine
            assert own["pagination"]["total"] == len(mine)
            counts = user.client.data("/api/v1/system/overview")
            assert counts["tasks"]["total"] == len(mine)

    def teardown(self) -> None:
        self.world.client.run(self.open_streams.aclose())
        self.stack.close()


def test_neither_of_two_principals_learns_anything_about_the_other():
    plan = settings(
        max_examples=max(1, STEPS // STEPS_OF_ONE),
        stateful_step_count=STEPS_OF_ONE,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(TwoPrincipals, settings=plan)


def test_secret_texts_would_be_found():
    """The secret texts are in the responses to users who may see them; otherwise the search would find nothing."""
    machine = TwoPrincipals()
    try:
        machine.start("ada", {"gpu_id": 0}, True)
        machine.run_all()
        machine.print_lines(1)
        ada, (task_id,) = machine.users["ada"], machine.users["ada"].ids
        paths = (
            f"/training/{task_id}",
            f"/training/{task_id}/logs",
            "/gpu/0",
            "/gpu/status",
            f"/logs/search?keyword={MARK}",
        )
        for path in paths:
            for reader in (ada.client, machine.root.client):
                text = json.dumps(reader.data(f"/api/v1{path}"))
                assert ada.mark in text or task_id in text, path
    finally:
        machine.teardown()
