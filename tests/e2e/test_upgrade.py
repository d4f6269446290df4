"""An upgrade from the version before the reorganisation, with work of every kind under way, loses nothing."""

import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.uploads import PART, TUS, encode, picture
from tests.databases import fresh_postgres
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import COMPLETED, QUIT, toy
from tests.e2e.training_server import kill
from tests.e2e.upgraded_server import UpgradedServer, compare, copy_answers
from tests.local_hub import LocalHub, running_hub
from tests.unit.alerts.notifiers.receivers import receiving
from tests.unit.files.weights.stand_ins import header_bytes
from tests.vision_endpoint import Endpoint, serve

ENDLESS = toy(100_000, step_seconds=0.1)
CATS = {"directories": [{"dataset": "cats"}]}
SMALL_CATS: dict[str, Any] = {"dataset": "cats", "short_side": 32, "into": "small-cats"}
ANNA: dict[str, Any] = {"user_id": "anna", "name": "laptop", "role": "trainer", "quota": {"gpus": 2}}
SECRET = "planted-secret-5f1c9a7e"
HUB_TOKEN = "hf_0123456789planted"
GPUS = 10

#: The form of the old version: one rule that still fits, and one that does not.
RULE: dict[str, Any] = {
    "rule_id": "hot",
    "title": "hot",
    "scope": "gpu",
    "when": ["temperature_gpu >= 1"],
    "summary": "{gpu} is hot.",
}
TWO_CLAUSES = RULE | {"rule_id": "two", "when": ["temperature_gpu >= 500", "temperature_memory >= 500"]}

#: Allows for other work on the cores.
LONG = 120.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def weights(seed: int, size: int) -> bytes:
    start, length = header_bytes({"w": [size]}, "U8")
    return start + random.Random(seed).randbytes(length)


class Upgrade:
    """A server that is upgraded amid its work, with the answers before and after.

    Work that waits for an outside service continues when `gate` is set.
    """

    def __init__(self, server: UpgradedServer, hub: LocalHub, vision: Endpoint, hook: int, backup: Path) -> None:
        self.server, self.hub, self.vision, self.backup = server, hub, vision, backup
        self.gate = threading.Event()
        self._parts: list[str] = []
        self._prepare_access()
        self._prepare_alerts(hook)
        self._prepare_datasets()
        self._prepare_trainings()
        self._prepare_transfers()
        self._prepare_preprocessing()

    def post(self, path: str, expected: int, key: str | None = None, **body: Any) -> dict[str, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.server.post(path, expected, json=body, headers=headers)

    def await_transfer(self, path: str, status: str = "completed") -> None:
        until(lambda: self.server.get(path)["status"] == status, LONG, f"{path} to be {status}")

    # -- before the upgrade --------------------------------------------------------------------------------------------

    def _prepare_access(self) -> None:
        self.anna = self.post("/auth/generate-key", 201, "anna", **ANNA)
        revoked = self.post("/auth/generate-key", 201, user_id="bob", role="viewer")
        assert self.server.client.delete(f"{BASE}/auth/keys/{revoked['key_id']}").status_code == 200
        self.revoked = revoked["api_key"]

    def _prepare_alerts(self, hook: int) -> None:
        url = f"http://127.0.0.1:{hook}/"
        self.post("/alerts/channels", 201, name="hook", kind="webhook", url=url, group_wait_seconds=0)
        for rule in (RULE, TWO_CLAUSES):
            self.post("/alerts/rules", 201, **rule)
        changed = {"enabled": True, "for_seconds": 1800, "actions": ["idle_command"]}
        assert self.server.client.patch(f"{BASE}/alerts/rules/machine_idle", json=changed).status_code == 200
        end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        self.post("/alerts/silences", 201, matchers=[{"label": "rule", "value": "two"}], until=end, comment="new fan")
        alerts = until(lambda: self.server.get("/alerts?rule=hot&state=firing")["alerts"], LONG, "a hot GPU")
        self.alert = alerts[0]["alert_id"]
        self.post(f"/alerts/{self.alert}/acknowledge", 200, comment="fan ordered")
        until(lambda: self.server.get("/alerts/deliveries")["deliveries"], LONG, "a delivery")

    def _prepare_datasets(self) -> None:
        server = self.server
        self.post("/datasets", 201, name="cats", description="tabby cats", tags=["animals"])
        for seed in range(4):
            files = {"file": (f"{seed}.png", picture(64, 48, seed * 40), "image/png")}
            server.post("/preprocess/upload", 202, data={"dataset": "cats", "prompt": f"cat {seed}"}, files=files)
        until(lambda: server.get("/datasets/cats")["dataset"]["items"] == 4, LONG, "the pictures")
        first = server.get("/datasets/cats/items")["items"][0]["item_id"]
        edit = {"changes": [{"item_id": first, "caption": "a tom"}]}
        assert server.client.patch(f"{BASE}/datasets/cats/captions", json=edit).status_code == 200
        directory = server.directory / "footage"
        directory.mkdir()
        for seed in range(40):
            (directory / f"{seed}.png").write_bytes(picture(1600, 1200, seed))
        self.post("/datasets", 201, name="footage", directory=str(directory))
        until(lambda: server.get("/datasets/footage")["dataset"]["items"] == 40, LONG, "the directory")
        self.upload = random.Random(1).randbytes(200_000)
        described = {
            "Upload-Length": str(len(self.upload)),
            "Upload-Metadata": encode(dataset="dogs", filename="x.png"),
        }
        self.upload_url = server.client.post(f"{BASE}/uploads", headers={**TUS, **described}).headers["location"]
        self.send(0, self.upload[:100_000])

    def send(self, offset: int, content: bytes) -> None:
        headers = {**TUS, "Content-Type": PART, "Upload-Offset": str(offset)}
        assert self.server.client.patch(self.upload_url, content=content, headers=headers).status_code == 204

    def _prepare_trainings(self) -> None:
        server = self.server
        secret: dict[str, Any] = {"env": {"HF_TOKEN": SECRET}}
        self.completed = server.start_task(toy(20, 2, name="done", dataset=CATS))
        self.failed = server.start_task(toy(20, knobs={"fail_at_step": 15, "fail_with": "cuda_oom"}))
        self.retried = server.start_task(toy(40, max_retries=1, knobs={"fail_at_step": 25, "fail_once": True}))
        self.stopped = server.start_task(ENDLESS | secret)
        server.await_step(self.stopped, 3)
        server.stop_task(self.stopped)
        for task, status in (
            (self.stopped, "stopped"), (self.completed, "completed"), (self.retried, "completed"),
            (self.failed, "failed"),
        ):  # fmt: skip
            server.await_status(task, status)
        self.keyed = ENDLESS | secret | {"dataset": CATS}
        self.running = server.start_task(self.keyed, "over-an-upgrade")
        self.orphaned, self.saving, self.stopping = (server.start_task(ENDLESS) for _ in range(3))
        self.alive = (self.running, self.orphaned, self.saving)
        for task in (*self.alive, self.stopping):
            server.await_step(task, 3)
        self.queued = server.start_task(toy(10, gpus=GPUS, dataset=CATS, **secret))
        self.post("/system/holds", 201, gpu_id="8", reason="its fan is replaced")
        assert server.register(gpu_ids=[9], task_id="kohya-on-gpu-9").status_code == 201

    def _prepare_transfers(self) -> None:
        server, hub = self.server, self.hub
        hub.add("o/small", "a.safetensors", weights(1, 300_000))
        self.files = {name: hub.add(name, "w.safetensors", weights(2, 2_000_000)) for name in ("o/big", "o/later")}
        [run_dir] = server.root.glob(f"tasks/{self.completed}/output/2*")
        artifact = run_dir / "epoch1" / "adapter_model.safetensors"
        artifact.parent.mkdir(exist_ok=True)
        artifact.write_bytes(weights(5, 1_000_000))
        name = f"{run_dir.name}/epoch1/{artifact.name}"
        self.post("/models/registry", 201, task_id=self.completed, artifact=name, name="cats")
        version = "/models/registry/cats/versions/1"
        assert server.client.patch(BASE + version, json={"aliases": ["prod"], "notes": "sharp"}).status_code == 200
        sample = {"file": ("x.png", picture(64, 48), "image/png")}
        server.post(f"{version}/samples", 201, files=sample, data={"prompt": "a cat", "seed": "7"})
        self.await_transfer(self._download("o/small"))
        self.await_transfer(self._push("ann/done"))
        hub.stored.clear()
        hub.fault, hub.write_fault, hub.part_size = self._drip, self._hold, 300_000
        self.paused = self._download("o/later")
        incoming = Path(server.settings["MODELS_ROOT"]) / ".incoming"
        until(lambda: any(part.stat().st_size > 10**5 for part in incoming.glob("*.part")), LONG, "a part")
        self.post(f"{self.paused}/pause", 202)
        self.await_transfer(self.paused, "paused")
        self.download, self.push = self._download("o/big"), self._push("ann/held")
        until(lambda: self._parts, LONG, "a part of the push")
        self.await_transfer(self.download, "downloading")
        self.pushed = Path(server.get(version)["path"]).read_bytes()

    def _download(self, repository: str) -> str:
        return f"/models/download/{self.post('/models/download', 202, repository=repository)['download_id']}"

    def _push(self, repository: str) -> str:
        path = "/models/registry/cats/versions/1/push"
        return f"/models/push/{self.post(path, 202, repository=repository, token=HUB_TOKEN)['push_id']}"

    def _drip(self, handler: Any, body: bytes) -> bool:
        if self.gate.is_set():
            return False
        begin = handler.begin_of_range() or 0
        range_ = {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"} if begin else {}
        handler.answer(206 if begin else 200, body[begin : begin + 200_000], len(body) - begin, **range_)
        for at in range(begin + 200_000, len(body), 2_000):
            if self.gate.wait(0.3):
                handler.wfile.write(body[at:])
                break
            handler.wfile.write(body[at : at + 2_000])
        return True

    def _hold(self, handler: Any, what: str) -> bool:
        if what == "put":
            self._parts.append(handler.path)
            self.gate.wait(LONG)
        return False

    def _prepare_preprocessing(self) -> None:
        server = self.server
        self.shrunk = self.post("/preprocess/start", 202, "small-cats", **SMALL_CATS)["task_id"]
        self.await_transfer(f"/preprocess/status/{self.shrunk}")
        self.vision.script = ["slow"] * 10_000
        made = self.post("/datasets/small-cats/captions/generate", 202, prompt="What?", only_missing=False)
        self.captioning = made["task"]["task_id"]
        self.shrinking = self.post("/preprocess/start", 202, dataset="footage", short_side=64, into="small")["task_id"]
        self.waiting = self.post("/preprocess/start", 202, dataset="cats", short_side=16, into="tiny")["task_id"]
        until(lambda: self.vision.asked, LONG, "the first caption")
        until(lambda: server.get(f"/preprocess/status/{self.shrinking}")["items_done"], LONG, "the first item")
        # Suspended during the upgrade, else it would end before.
        self._suspend(signal.SIGSTOP)
        server.operate("backup", str(self.backup))

    def _suspend(self, number: signal.Signals) -> None:
        for task in (self.captioning, self.shrinking):
            for process in self.server.processes_of(task):
                os.kill(process.pid, number)

    # -- the upgrade ---------------------------------------------------------------------------------------------------

    def run(self, is_killed: bool) -> None:
        server = self.server
        self.mains = {task: server.main_of(task) for task in self.alive}
        self.logs = {task: server.log_of(task) for task in self.alive}
        self.before = copy_answers(server)
        server.stop_task(self.stopping)
        server.end(is_killed)
        server.replace_code()
        server.start(server.port)
        self.after = copy_answers(server)
        self._suspend(signal.SIGCONT)
        self.vision.script.clear()
        self.gate.set()

    def differences(self, *addresses: str) -> Iterator[str]:
        """Yield what has changed at these addresses and below, except times that depend on the reading."""
        for path, data in self.before.items():
            if any(path == address or path.startswith(f"{address}/") for address in addresses):
                for line in compare(data, self.after.get(path), path):
                    if not any(word in line for word in (".expires_at:", ".last_used_at:")):
                        yield line


@pytest.fixture(scope="module", params=[("sqlite", True), ("postgresql", False)], ids=lambda param: param[0])
def upgrade(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    """Upgrade a killed server on SQLite, and one that was stopped on PostgreSQL."""
    backend, is_killed = request.param
    root = tmp_path_factory.mktemp("upgrade")
    with ExitStack() as stack:
        hub, vision = stack.enter_context(running_hub()), stack.enter_context(serve())
        broken = b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"
        hook = stack.enter_context(receiving(lambda peer: peer.sendall(broken)))
        settings = {
            "SIMULATED_GPUS": f"{GPUS}x NVIDIA GeForce RTX 4090",
            "HF_ENDPOINT": hub.address,
            "MODELS_ROOT": str(root / "models"),
            "DATASET_DIRECTORIES": str(root),
            "CAPTION_ENDPOINT": vision.address,
            "CAPTION_MODEL": "m",
            "PREPROCESS_PARALLEL": "2",
            "TRANSFERS_PARALLEL": "2",
            "IDLE_COMMAND": "/bin/true",
            "PRIVATE_HOSTS_ALLOWED": "127.0.0.1",
        }
        if backend == "postgresql":
            settings["DATABASE_URL"] = stack.enter_context(fresh_postgres())
        server = stack.enter_context(UpgradedServer(root / "server", **settings))
        made = Upgrade(server, hub, vision, hook.port, root / "old.tar.gz")
        made.run(is_killed)
        yield made


def test_answers_about_finished_work_stay(upgrade: Upgrade) -> None:
    tasks = [f"/training/{task}" for task in (upgrade.completed, upgrade.failed, upgrade.retried, upgrade.stopped)]
    others = (
        f"/preprocess/{upgrade.shrunk}", f"/preprocess/status/{upgrade.shrunk}", upgrade.paused,
        "/datasets/cats", "/datasets/small-cats", "/uploads", "/models/registry", "/gpu/tasks", "/system/holds",
        "/auth/keys", "/alerts/silences?ended=true", "/alerts/rules/hot",
    )  # fmt: skip
    assert list(upgrade.differences(*tasks, *others)) == []
    before, after = (each["/auth/audit?limit=500"]["entries"] for each in (upgrade.before, upgrade.after))
    # Newest first; the stop was requested between the two.
    assert after[-len(before) :] == before


def test_running_trainings_continue(upgrade: Upgrade) -> None:
    server = upgrade.server
    for task in upgrade.alive:
        server.await_step(task, (server.task(task)["progress"]["current_step"] or 0) + 5)
        assert server.main_of(task) == upgrade.mains[task]
        assert server.task(task)["attempt_count"] == 1
        assert server.log_of(task).startswith(upgrade.logs[task])


def test_stop_requested_before_the_upgrade_is_carried_out(upgrade: Upgrade) -> None:
    upgrade.server.await_status(upgrade.stopping, "stopped")
    assert QUIT in upgrade.server.log_of(upgrade.stopping)


def test_supervisor_of_the_old_version_is_replaced_when_it_dies(upgrade: Upgrade) -> None:
    server, task = upgrade.server, upgrade.orphaned
    supervisors = server.processes.supervisors()
    kill(next(pid for pid, directory in supervisors.items() if directory.parent.parent.name == task))
    server.await_step(task, (server.task(task)["progress"]["current_step"] or 0) + 10)
    assert server.main_of(task) == upgrade.mains[task]
    assert server.task(task)["attempt_count"] == 1


def test_training_of_the_old_version_saves_on_request(upgrade: Upgrade) -> None:
    server, path = upgrade.server, f"/training/{upgrade.saving}/checkpoints"
    known = {each["name"] for each in server.get(path)["checkpoints"]}
    upgrade.post(f"/training/{upgrade.saving}/save", 202)
    until(lambda: {each["name"] for each in server.get(path)["checkpoints"]} - known, LONG, "a checkpoint")


def test_retries_get_the_first_answer(upgrade: Upgrade) -> None:
    assert upgrade.server.start_task(upgrade.keyed, "over-an-upgrade") == upgrade.running
    assert upgrade.post("/auth/generate-key", 201, "anna", **ANNA)["key_id"] == upgrade.anna["key_id"]
    assert upgrade.post("/preprocess/start", 202, "small-cats", **SMALL_CATS)["task_id"] == upgrade.shrunk


def test_keys_are_as_valid_as_before(upgrade: Upgrade) -> None:
    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return upgrade.server.client.get(f"{BASE}/auth/whoami", headers=headers).status_code

    assert [status(key) for key in (upgrade.anna["api_key"], upgrade.revoked)] == [200, 401]


def test_upload_continues(upgrade: Upgrade) -> None:
    offset = int(upgrade.server.client.head(upgrade.upload_url, headers=TUS).headers["upload-offset"])
    assert offset == 100_000
    upgrade.send(offset, upgrade.upload[offset:])
    upgrade.await_transfer(upgrade.upload_url.removeprefix(BASE))


def test_transfers_continue(upgrade: Upgrade) -> None:
    upgrade.post(f"{upgrade.paused}/resume", 202)
    for path in (upgrade.paused, upgrade.download, upgrade.push):
        upgrade.await_transfer(path)
    models = Path(upgrade.server.settings["MODELS_ROOT"])
    assert {name: (models / name / "w.safetensors").read_bytes() for name in upgrade.files} == upgrade.files
    assert upgrade.pushed in upgrade.hub.files["ann/held"].values()


def test_preprocessing_continues_and_starts(upgrade: Upgrade) -> None:
    for task in (upgrade.shrinking, upgrade.captioning, upgrade.waiting):
        upgrade.await_transfer(f"/preprocess/status/{task}")
    sizes = [len(upgrade.server.get(f"/datasets/{name}/items?limit=100")["items"]) for name in ("small", "tiny")]
    assert sizes == [40, 4]
    captions = {item["caption"] for item in upgrade.server.get("/datasets/small-cats/items")["items"]}
    assert all(caption.startswith("a picture, number") for caption in captions)


def test_rules_that_no_longer_fit_are_disabled_and_alerts_stay(upgrade: Upgrade) -> None:
    rules = {name: upgrade.server.get(f"/alerts/rules/{name}") for name in ("hot", "two", "machine_idle")}
    assert [rules[name]["enabled"] for name in ("hot", "two")] == [True, False]
    idle = rules["machine_idle"]
    assert (idle["enabled"], idle["for_seconds"], idle["actions"]) == (True, 1800, ["idle_command"])
    alert = upgrade.server.get(f"/alerts/{upgrade.alert}")["alert"]
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", "admin")


def test_stopped_training_resumes_with_its_secret(upgrade: Upgrade) -> None:
    server = upgrade.server
    upgrade.post(f"/training/resume/{upgrade.stopped}", 202)
    server.await_status(upgrade.stopped, "running")
    environment = Path(f"/proc/{server.main_of(upgrade.stopped).pid}/environ").read_bytes()
    assert f"HF_TOKEN={SECRET}".encode() in environment
    until(lambda: "Resuming training from checkpoint" in server.log_of(upgrade.stopped), LONG, "its resume")


def test_running_trainings_stop_with_a_checkpoint_and_the_queued_one_starts(upgrade: Upgrade) -> None:
    server = upgrade.server
    stopped: Sequence[str] = (*upgrade.alive, upgrade.stopped)
    for task in stopped:
        server.stop_task(task)
    for task in stopped:
        assert [each for each in server.await_status(task, "stopped")["checkpoints"] if each["is_complete"]]
        assert QUIT in server.log_of(task)
    [hold] = server.get("/system/holds")["holds"]
    assert server.client.delete(f"{BASE}/system/holds/{hold['hold_id']}").status_code == 200
    assert server.client.delete(f"{BASE}/gpu/tasks/kohya-on-gpu-9").status_code == 200
    server.await_status(upgrade.queued, "completed", timeout=LONG)
    assert COMPLETED in server.log_of(upgrade.queued)


def test_backup_of_the_old_version_is_restored(upgrade: Upgrade) -> None:
    server = upgrade.server
    assert "The audit is intact" in server.operate("audit-verify")
    assert server.tracebacks() == []
    server.end(is_killed=False)
    server.operate("restore", str(upgrade.backup), "--force")
    server.start(server.port)
    tasks = {row["task_id"] for row in upgrade.before["/training/list"]["tasks"]}
    assert tasks <= set(server.task_ids())
    assert "The audit is intact" in server.operate("audit-verify")
