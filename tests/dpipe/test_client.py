"""The Python client: against malformed answers, and against a real service over connections that break."""

import contextlib
import gzip
import inspect
import json
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

import api
import dpipe
from dpipe import Client, aio, client, settings, uploads
from dpipe.connections import Connection
from dpipe.requests import choose_file, join, start_body
from dpipe.streams import Decoder
from tests.e2e.server import PATIENCE, ROOT, environment, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.hostile_servers import serving
from tests.own_service import end_process
from tests.patience import BUSY_SECONDS
from tools import dpipe_types
from tools.openapi import document

EXAMPLES = ROOT / "dpipe" / "examples"
TOY = """
epochs = 2
[model]
type = "toy"
[toy]
steps_per_epoch = 4
step_seconds = 0.02
load_seconds = 0.05
cache_seconds = 0.05
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DPIPE_URL", "DPIPE_KEY", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have slept."""
    found: list[float] = []

    async def sleep(_: object, seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(Connection, "sleep", sleep)
    return found


def answer(status: int, body: object, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(content)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


def success(data: Any) -> bytes:
    return answer(200, {"code": 200, "message": "success", "data": data})


def failure(status: int, code: str, *headers: str, **error: Any) -> bytes:
    shown = {"code": code, "detail": "It failed.", "errors": [], "request_id": "r-1", **error}
    return answer(status, {"code": status, "message": "It failed.", "data": {"x": 1}, "error": shown}, *headers)


class Script:
    """A server that gives one answer after the other, None for a closed connection, and remembers the requests."""

    def __init__(self, *answers: bytes | None) -> None:
        self.requests: list[str] = []
        self._answers = iter(answers)

    def __call__(self, peer: socket.socket, request: bytes) -> None:
        self.requests.append(request.decode(errors="replace"))
        if (found := next(self._answers)) is not None:
            peer.sendall(found)

    def header(self, number: int, name: str) -> str | None:
        lines = [line.partition(": ") for line in self.requests[number].split("\r\n")]
        return next((value for key, _, value in lines if key.lower() == name), None)


@contextlib.contextmanager
def scripted(*answers: bytes | None, key: str | None = None) -> Iterator[tuple[Client, Script]]:
    script = Script(*answers)
    with serving(script) as url, Client(url, key) as found:
        yield found, script


# Failures


def test_server_away_is_unreachable_after_the_retries(pauses: list[float]):
    with Client("http://127.0.0.1:1", retries=2) as found, pytest.raises(dpipe.Unreachable) as raised:
        found.get("/health")
    assert len(pauses) == 2
    assert "127.0.0.1:1" in raised.value.message
    assert "DPIPE_URL" in str(raised.value)


def test_error_has_code_message_remedy_and_every_mistake():
    mistake = {"pointer": "/config/epochs", "message": "must be at least 1", "remedy": "Set it to 1."}
    answer_ = failure(422, "validation_failed", errors=[mistake])
    with scripted(answer_) as (found, _), pytest.raises(dpipe.Invalid) as raised:
        found.trainings.start(config={"epochs": 0}, model_type="toy")
    error = raised.value
    assert (error.code, error.status, error.details, error.request_id) == ("validation_failed", 422, {"x": 1}, "r-1")
    assert (error.errors, error.remedy) == ([mistake], "Set it to 1.")
    assert "/config/epochs: must be at least 1" in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, dpipe.Invalid),
        (401, dpipe.Unauthorized),
        (403, dpipe.Forbidden),
        (404, dpipe.NotFound),
        (409, dpipe.Conflict),
        (500, dpipe.ServerError),
        (507, dpipe.Insufficient),
    ],
)
def test_status_decides_the_class_of_the_error(status: int, kind: type[dpipe.DpipeError], pauses: list[float]):
    with scripted(failure(status, "some_code"), key="dp_x") as (found, script), pytest.raises(kind):
        found.get("/system/overview")
    assert script.header(0, "authorization") == "Bearer dp_x"
    assert pauses == []


def test_client_waits_as_long_as_the_server_asks(pauses: list[float]):
    limited = failure(429, "rate_limited", "Retry-After: 7")
    with scripted(limited, failure(503, "unavailable", "Retry-After: 2"), success([])) as (found, _):
        assert found.get("/x") == []
    assert [round(each) for each in pauses] == [7, 2]


def test_client_does_not_wait_an_hour(pauses: list[float]):
    limited = failure(429, "rate_limited", "Retry-After: 3000")
    with scripted(limited) as (found, _), pytest.raises(dpipe.RateLimited) as raised:
        found.get("/x")
    assert (raised.value.retry_after, pauses) == (3000, [])


def test_repeated_post_has_the_same_idempotency_key(pauses: list[float]):
    with scripted(None, success({"task_id": "t", "status": "queued"})) as (found, script):
        assert found.trainings.start(config={}, model_type="toy").id == "t"
        assert script.header(0, "idempotency-key") == script.header(1, "idempotency-key") is not None
    assert len(pauses) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        answer(200, b"<html>Another program</html>"),
        answer(200, b""),
        answer(200, [1]),
        answer(200, {"code": 200}),
        answer(404, b"Not Found"),
        answer(500, {"error": "no envelope"}),
        answer(302, b"", "Location: /login"),
        answer(200, gzip.compress(b"{}")[:9] + b"?" * 9, "Content-Encoding: gzip"),
        success(None),
        success({"gpus": None}),
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_garbage_is_an_error_of_the_client(garbage: bytes, pauses: list[float]):
    with serving(lambda peer, _: peer.sendall(garbage)) as url, Client(url) as found:
        with pytest.raises((dpipe.BadAnswer, dpipe.Unreachable)):
            found.gpus()
        with pytest.raises((dpipe.BadAnswer, dpipe.Unreachable)):
            next(iter(found.trainings))
        with pytest.raises((dpipe.BadAnswer, dpipe.Unreachable)):
            next(found.stream("/events/stream"))


def test_proxy_of_a_restarting_server_is_not_another_program(pauses: list[float]):
    away = answer(502, b"<html>Bad Gateway</html>")
    with scripted(away, away, success([]), away, away, away, away) as (found, _):
        assert found.get("/x") == []
        with pytest.raises(dpipe.Unreachable, match="502"):
            found.get("/x")
    assert len(pauses) == 5


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_id_cannot_lead_to_another_address(name: str):
    with pytest.raises(dpipe.Invalid):
        join("training", name)
    assert join("training", "a/b?c#d") == "/training/a%2Fb%3Fc%23d"


# Settings


def test_arguments_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch):
    assert settings.load() == settings.Settings("http://127.0.0.1:8080", None)
    path = settings.save("https://gpu.example/api/v1/", "dp_file")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings.load() == settings.Settings("https://gpu.example", "dp_file")
    monkeypatch.setenv("DPIPE_KEY", "dp_environment")
    assert settings.load().key == "dp_environment"
    assert settings.load("gpu2:8080", "dp_argument") == settings.Settings("http://gpu2:8080", "dp_argument")
    assert "dp_file" not in repr(settings.load())


def test_stored_key_is_only_sent_to_its_own_server():
    settings.save("https://gpu.example", "dp_secret")
    assert settings.load("https://other.example").key is None


@pytest.mark.parametrize("url", ["http://", "ftp://x", "http://127.0.0.1:99999", "http://[::1", "http://a b", "://x"])
def test_wrong_address_is_an_error_before_the_request(url: str):
    with pytest.raises(dpipe.Invalid):
        Client(url)


@pytest.mark.parametrize("url", ["http://me:s3cret@127.0.0.1", "me:s3cret@gpu", "http://gpu?key=s3cret", "gpu/#s3cret"])
def test_address_with_a_secret_is_refused_without_repeating_it(url: str):
    with pytest.raises(dpipe.Invalid) as error:
        Client(url)
    assert "s3cret" not in str(error.value)


def test_damaged_file_is_named(home: Path):
    path = settings.save("http://127.0.0.1", None)
    path.write_text("url = [")
    with pytest.raises(dpipe.Invalid, match=r"config\.toml"):
        settings.load()


# Requests


def test_files_become_texts_of_the_request(tmp_path: Path):
    config = tmp_path / "flux.toml"
    config.write_text('dataset = "data.toml"\n[model]\ntype = "flux"\n')
    (tmp_path / "data.toml").write_text("resolutions = [512]\n")
    beside = start_body(config, None, (512,), {"gpus": 2, "name": None})
    assert beside == {
        "model_type": "flux",
        "gpu_count": 2,
        "config_toml": config.read_text(),
        "dataset_toml": "resolutions = [512]\n",
    }
    named = start_body(str(config), "cats@3", (512, 768), {"gpus": [0, 1]})
    assert named["gpu_ids"] == [0, 1]
    assert named["dataset_toml"] == 'resolutions = [512, 768]\n\n[[directory]]\ndataset = "cats@3"\n'
    structured = start_body({"epochs": 1}, "cats", (512,), {"model_type": "flux"})
    assert structured["dataset"] == {"resolutions": [512], "directories": [{"dataset": "cats"}]}


@pytest.mark.parametrize(
    ("config", "dataset"), [({}, None), ("no = such = toml", None), (Path("missing.toml"), None), ({}, 'x"\n[[')]
)
def test_mistakes_before_the_request_are_errors(config: Any, dataset: Any):
    with pytest.raises(dpipe.Invalid) as raised:
        start_body(config, dataset, (512,), {})
    assert raised.value.remedy


def test_chosen_model_is_downloaded_else_the_newest():
    files = [
        {"path": f"run/{name}/adapter_model.safetensors", "kind": "model", "is_complete": name != "epoch4"}
        for name in ("epoch4", "epoch3", "epoch2")
    ]
    assert choose_file(files, None) == files[1]["path"]
    assert choose_file(files, "epoch2") == files[2]["path"]
    with pytest.raises(dpipe.NotFound):
        choose_file(files[:1], None)


def test_pages_are_fetched_as_needed():
    def page(cursor: str | None, *rows: int) -> bytes:
        return success({"rows": list(rows), "pagination": {"next_cursor": cursor}})

    with scripted(page("a", 1, 2), page("b", 3, 4), page(None, 5)) as (found, script):
        assert list(found.pages("/x", "rows", limit=3)) == [1, 2, 3]
        assert len(script.requests) == 2
        assert "limit=1&cursor=a" in script.requests[1]
        assert list(found.pages("/x", "rows")) == [5]


# Streams


def test_message_may_arrive_in_any_parts():
    data = {"type": "log", "data": {"text": "a\u2028b\x85c"}}
    sent = f"id: 7\ndata: {json.dumps(data, ensure_ascii=False)}\n\n: heartbeat\n\n".encode()
    for size in range(1, len(sent)):
        decoder = Decoder()
        parts = [sent[start : start + size] for start in range(0, len(sent), size)]
        [message] = [message for part in parts for message in decoder.feed(part)]
        assert (message.kind, message.data, message.id) == ("log", data["data"], "7")


def events(*messages: tuple[str, str, Any]) -> bytes:
    frames = [f'id: {id_}\ndata: {{"type": "{kind}", "data": {json.dumps(data)}}}\n\n' for id_, kind, data in messages]
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + "".join(frames).encode()


def test_cut_stream_continues_after_its_last_message(pauses: list[float]):
    with scripted(
        events(("1", "a", 1), ("2", "a", 2)),
        None,
        failure(503, "unavailable", "Retry-After: 1"),
        events(("3", "closing", {"reason": "server_ending"})),
        events(("4", "a", 3), ("5", "end", {})),
    ) as (found, script):
        assert [message.data for message in found.stream("/x/stream")] == [1, 2, 3, {}]
        assert [script.header(number, "last-event-id") for number in range(5)] == [None, "2", "2", "2", "2"]


def test_stream_ends_with_the_key():
    closing = {"reason": "access_ended", "code": "key_revoked"}
    with scripted(events(("1", "closing", closing))) as (found, _), pytest.raises(dpipe.Unauthorized) as raised:
        list(found.stream("/x/stream"))
    assert raised.value.code == "key_revoked"


# The two clients, and the types


def test_both_clients_have_the_same_methods():
    pairs = [(client.Client, aio.AsyncClient)]
    pairs += [
        (getattr(client, name), getattr(aio, f"Async{name}"))
        for name in ("Trainings", "Training", "Datasets", "Dataset")
    ]
    for blocking, asynchronous in pairs:
        public = {name for name, _ in inspect.getmembers(asynchronous, inspect.isfunction) if name[0] != "_"}
        for name in public - {"request"}:
            theirs = inspect.signature(getattr(asynchronous, name)).parameters
            assert list(inspect.signature(getattr(blocking, name)).parameters) == list(theirs), (blocking, name)


def test_version_is_that_of_the_service():
    assert dpipe.__version__ == api.__version__


def test_glossary_is_that_of_the_documents():
    packaged = dpipe_types.TARGET.with_name("glossary.md")
    assert packaged.read_text() == dpipe_types.GLOSSARY.read_text(), "run tools/dpipe_types.py"


def test_types_are_those_of_the_document():
    assert dpipe_types.TARGET.read_text() == dpipe_types.generate(document()), "run tools/dpipe_types.py"


# With a real service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "My cats"
    (found / "sofa").mkdir(parents=True)
    for number in range(3):
        pixels = numpy.random.default_rng(number).integers(0, 255, (64, 64, 3), numpy.uint8)
        Image.fromarray(pixels).save(found / "sofa" / f"cat{number}.png")
        (found / "sofa" / f"cat{number}.txt").write_text(f"ohwx cat {number}")
    (found / ".hidden").write_text("not uploaded")
    return found


@pytest.mark.slow
def test_examples_run(server: TrainingServer, folder: Path, tmp_path: Path, request: pytest.FixtureRequest):
    keys = {"DPIPE_URL": f"http://127.0.0.1:{server.port}", "DPIPE_KEY": server.first_key(), "HOME": str(tmp_path)}
    programs = {}
    for name in ("train", "train_async"):
        directory = tmp_path / name
        shutil.copytree(folder, directory / name)
        (directory / "toy.toml").write_text(TOY)
        programs[directory] = program = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{name}.py"), name, "toy.toml", "portraits"],
            cwd=directory,
            env=environment({**keys, "PYTHONPATH": str(ROOT / "dpipe" / "src")}),
        )
        request.addfinalizer(partial(end_process, program))
    for directory, program in programs.items():
        assert program.wait(PATIENCE + BUSY_SECONDS) == 0
        assert server.get(f"/datasets/{directory.name}")["dataset"]["items"] == 3
        assert len(list(directory.glob("*.png"))) == 2
        [model] = directory.glob("*.safetensors")
        assert model.stat().st_size > 1000


class Line:
    """A connection to a server that breaks after some bytes of a direction, once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.left: dict[str, float] = {"up": float("inf"), "down": float("inf")}
        self.breaks = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._port))
                for name, source, target in (("up", near, far), ("down", far, near)):
                    threading.Thread(target=self._copy, args=(name, source, target), daemon=True).start()

    def _copy(self, name: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(4096):
                self.left[name] -= len(part)
                if self.left[name] < 0:
                    self.left[name] = float("inf")
                    self.breaks += 1
                    break
                target.sendall(part)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(server: TrainingServer) -> Iterator[Line]:
    found = Line(server.port)
    yield found
    found.close()


@pytest.fixture
def over(line: Line, server: TrainingServer) -> Iterator[Client]:
    with Client(line.url, server.first_key()) as found:
        yield found


def big(folder: Path) -> int:
    """Make a picture of about 3 MB, so that its upload can break in the middle."""
    Image.fromarray(numpy.random.default_rng(9).integers(0, 255, (1000, 1000, 3), numpy.uint8)).save(folder / "big.png")
    return (folder / "big.png").stat().st_size


@pytest.mark.slow
def test_upload_continues_over_a_broken_connection(over: Client, line: Line, folder: Path):
    size, seen = big(folder), []
    line.left["up"] = size / 2
    found = over.datasets.upload(folder, "broken", progress=lambda done, _: seen.append(done))
    assert (line.breaks, found.reference, found.data["items"]) == (1, "broken@1", 4)
    assert seen == sorted(seen)
    assert seen[-1] == sum(path.stat().st_size for path in folder.rglob("*.*") if path.name != ".hidden")
    assert {item["caption"] for item in found.items()} == {None, "ohwx cat 0", "ohwx cat 1", "ohwx cat 2"}


@pytest.mark.slow
def test_interrupted_upload_is_continued_by_another_program(
    line: Line, server: TrainingServer, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    size = big(folder)
    line.left["up"] = size / 2
    with Client(line.url, server.first_key(), retries=0) as found, pytest.raises(dpipe.Unreachable):
        found.datasets.upload(folder, "resumed")
    # The server stores what has arrived when it notices that the connection is broken.
    receiving = {"status": "receiving"}
    [begun] = until(lambda: [each for each in server.get("/uploads", params=receiving)["uploads"] if each["offset"]])
    assert begun["offset"] < size
    with Client(line.url, server.first_key()) as found:
        made = found.datasets.upload(folder, "resumed")
    assert made.data["items"] == 4
    whole = server.get(f"/uploads/{begun['upload_id']}")
    assert (whole["status"], whole["offset"]) == ("completed", size)


def test_links_out_of_a_folder_are_not_uploaded(folder: Path, tmp_path: Path):
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "inside.png").symlink_to(next(folder.rglob("*.png")))
    before = uploads.plan(folder, None, "http://127.0.0.1:1")
    (folder / "caption.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(dpipe.Invalid, match="outside of the folder"):
        uploads.plan(folder, None, "http://127.0.0.1:1")
    assert "inside.png" in {each.name for each in before.files}


@pytest.mark.slow
def test_folder_can_be_uploaded_again(over: Client, folder: Path):
    assert over.datasets.upload(folder).name == "My-cats"
    (folder / "sofa" / "cat0.txt").write_text("another caption")
    again = over.datasets.upload(folder)
    assert "another caption" in {item["caption"] for item in again.items()}


@pytest.mark.slow
def test_log_is_followed_over_a_broken_connection(over: Client, line: Line):
    training = over.trainings.start(**toy(15, step_seconds=0.03))
    line.left["down"] = 6000
    kinds: dict[str, list[dict[str, Any]]] = {"log": [], "progress": [], "status": []}
    for event in training.follow():
        kinds[event.kind].append(event.data)
    assert line.breaks == 1
    offsets = [each["offset"] for each in kinds["log"]]
    assert offsets == sorted(set(offsets))
    assert offsets == [each["offset"] for each in training.logs()]
    assert (kinds["status"][-1]["status"], training.status) == ("completed", "completed")
    assert kinds["progress"]
    assert [each["message"] for each in training.logs("COMPLETE")] == ["TRAINING COMPLETE!"]


@pytest.mark.slow
def test_download_continues_over_a_broken_connection(
    over: Client, line: Line, server: TrainingServer, training: str, tmp_path: Path
):
    line.left["down"] = 200_000
    path = over.trainings.get(training).download(to=tmp_path)
    assert line.breaks == 1
    direct = tmp_path / "direct"
    with Client(f"http://127.0.0.1:{server.port}", server.first_key()) as found:
        assert found.trainings.get(training).download(to=direct) == direct
    assert path.read_bytes() == direct.read_bytes()
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


@pytest.mark.slow
def test_stop_waits_and_makes_a_lora(over: Client):
    training = over.trainings.start(**toy(2000, step_seconds=0.02, every=5))
    until(lambda: (training.refresh().data["progress"]["current_step"] or 0) >= 2)
    with pytest.raises(dpipe.TimedOut):
        training.wait(timeout=0.1)
    assert training.stop(keep_lora=True, wait=True).status == "stopped"
    assert [each["is_complete"] for each in training.refresh().data["checkpoints"]]
    # The training itself is the answer if the LoRA exists already.
    exported = training.export()
    assert exported.id == training.id or exported.wait(60).status == "completed"
    assert training.id in [each.id for each in over.trainings.list(limit=5)]
    assert over.trainings.plan(**toy(3))["valid"]
