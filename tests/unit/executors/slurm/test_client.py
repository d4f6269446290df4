"""The client with a fake slurmrestd: its answers and requests."""

import base64
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from api.executors.slurm import client as module
from api.executors.slurm.client import (
    QUEUE_FULL,
    SlurmClient,
    SlurmRefused,
    SlurmUnreachable,
    TokenFile,
    newest_version,
    parse_token,
)
from api.executors.slurm.jobs import Job

PATHS = {f"/slurm/v0.0.{version}/job/submit": {} for version in (9, 40, 42)}

Answer = tuple[int, bytes]


class Server:
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str | None]] = []
        self.answer: Callable[[str], Answer] = lambda _: (200, b'{"jobs": []}')
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                return

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append((self.command, self.path, self.headers.get("X-SLURM-USER-TOKEN")))
                is_known = self.path == "/openapi/v3"
                status, body = (200, json.dumps({"paths": PATHS}).encode()) if is_known else server.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_GET  # noqa: N815 - names required by the server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def answers(self, content: object, status: int = 200) -> None:
        self.answer = lambda _: (status, json.dumps(content).encode())

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("SLURM_JWT=first\n")
    return path


@pytest.fixture
def client(server: Server, token: Path) -> Iterator[SlurmClient]:
    made = SlurmClient(server.url, token)
    yield made
    made.close()


def test_newest_described_parser_is_used(client: SlurmClient, server: Server) -> None:
    assert client.jobs() == ()
    assert client.jobs() == ()
    assert [path for _, path, _ in server.requests] == ["/openapi/v3", *["/slurm/v0.0.42/jobs/?flags=DETAIL"] * 2]


def test_slurmrestd_without_jobs_gets_a_remedy() -> None:
    with pytest.raises(SlurmUnreachable, match="-s slurmctld"):
        newest_version({"/slurm/v0.0.42/ping/": {}})


def test_token_is_read_again_when_its_file_changes(client: SlurmClient, server: Server, token: Path) -> None:
    client.jobs()
    token.write_text("a second one, with spaces")
    with pytest.raises(SlurmUnreachable, match="SLURM_TOKEN_FILE"):
        client.jobs()
    later = token.with_name("new")
    later.write_text("second")
    os.replace(later, token)
    client.jobs()
    assert [given for _, _, given in server.requests] == ["first", "first", "second"]


def test_rejection_has_slurms_reason(client: SlurmClient, server: Server) -> None:
    server.answers({"errors": [{"error_number": 2000, "error": "Invalid partition", "description": "Failed"}]}, 500)
    with pytest.raises(SlurmRefused, match="Failed: Invalid partition") as caught:
        client.submit("#!/bin/sh\n", {})
    assert caught.value.number == 2000


def test_full_controller_rejects_a_job(client: SlurmClient, server: Server) -> None:
    error = {
        "description": "Batch job submission failed",
        "error_number": 11,
        "error": "Resource temporarily unavailable",
    }
    server.answers({"errors": [error | {"source": "slurm_submit_batch_job()"}], "warnings": []}, 500)
    with pytest.raises(SlurmRefused, match="Resource temporarily unavailable") as caught:
        client.submit("#!/bin/sh\n", {})
    assert caught.value.number == QUEUE_FULL


def test_unavailable_controller_rejects_nothing(client: SlurmClient, server: Server) -> None:
    server.answers({"errors": [{"error_number": 1007, "error": "Protocol authentication error"}]}, 511)
    with pytest.raises(SlurmUnreachable, match=r"Protocol authentication error: the token in .*/token was rejected"):
        client.jobs()


def test_unsupported_field_is_never_ignored_silently(client: SlurmClient, server: Server) -> None:
    server.answers({"job_id": 5, "warnings": [{"description": 'Ignoring unknown field "qos"'}]})
    with pytest.raises(SlurmRefused, match="qos"):
        client.submit("#!/bin/sh\n", {"qos": "x"})
    assert server.requests[-1][:2] == ("DELETE", "/slurm/v0.0.42/job/5")


def test_cancelling_a_missing_job_succeeds(client: SlurmClient, server: Server) -> None:
    server.answers({"status": [{"error": {"code": 2017, "message": "Invalid job id"}}]})
    client.cancel(5)
    server.answers({"status": [{"error": {"code": 2009, "message": "Access denied"}}]})
    with pytest.raises(SlurmRefused, match="Access denied"):
        client.cancel(5)


def test_jobs_are_cancelled_without_a_signal_so_every_process_ends(client: SlurmClient, server: Server) -> None:
    # A signal with FULL_JOB skips a child in its own session.
    client.cancel(5)
    assert server.requests[-1][:2] == ("DELETE", "/slurm/v0.0.42/job/5")


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"jobs"', b"[" * 100_000, b'{"jobs":' + b"9" * 5_000])
@pytest.mark.parametrize("status", [200, 502])
def test_invalid_answer_is_an_error(client: SlurmClient, server: Server, status: int, body: bytes) -> None:
    server.answer = lambda _: (status, body)
    with pytest.raises(SlurmUnreachable):
        client.jobs()


REQUESTS: dict[str, Callable[[SlurmClient], object]] = {
    "jobs": SlurmClient.jobs,
    "states": SlurmClient.states,
    "job": lambda client: client.job(7),
    "nodes": SlurmClient.nodes,
    "partitions": SlurmClient.partitions,
}


@pytest.mark.parametrize("send_request", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("answer", [{}, {"jobs": None, "nodes": {}, "partitions": "x"}, {"errors": ["no"], "jobs": []}])
def test_answer_without_its_list_is_never_empty(
    client: SlurmClient, server: Server, send_request: Callable[[SlurmClient], object], answer: dict[str, object]
) -> None:
    server.answers(answer)
    with pytest.raises((SlurmUnreachable, SlurmRefused)):
        send_request(client)


@pytest.mark.parametrize(
    ("status", "why"), [(301, "redirects to /elsewhere"), (403, "403"), (404, "404"), (500, "500"), (503, "503")]
)
def test_only_a_success_is_an_answer(client: SlurmClient, server: Server, status: int, why: str) -> None:
    server.answers({"jobs": []}, status)
    with pytest.raises(SlurmUnreachable, match=why):
        client.jobs()
    # A proxy in front of slurmrestd does not reject in Slurm's name.
    server.answers({"errors": [{"description": "no upstream"}]}, status)
    with pytest.raises(SlurmUnreachable, match=why):
        client.submit("#!/bin/sh\n", {})


@pytest.mark.parametrize("number", [None, True, 0, -1, 2**32, "7", 7.0])
def test_submission_without_a_number_may_have_succeeded(client: SlurmClient, server: Server, number: object) -> None:
    server.answers({"job_id": number})
    with pytest.raises(SlurmUnreachable, match="contains no job number"):
        client.submit("#!/bin/sh\n", {})


def test_unreadable_jobs_are_unknown_and_not_missing(client: SlurmClient, server: Server) -> None:
    server.answers({"jobs": [{"id": 7, "title": "a.1"}, {"job_id": 8, "status": ["RUNNING"]}]})
    with pytest.raises(SlurmUnreachable, match="in an unknown format"):
        client.jobs()
    server.answers({"jobs": [{"id": 7, "state": ["RUNNING"]}]})
    with pytest.raises(SlurmUnreachable, match="in an unknown format"):
        client.states()
    assert client.job(8) == Job(8, "", frozenset())


def test_invalid_unicode_in_a_name_hides_no_other_job(client: SlurmClient, server: Server) -> None:
    # Slurm returns the bytes of `sbatch --job-name=$'\xe9'`.
    other = b'{"job_id": 2, "name": "\xe9\n", "job_state": ["RUNNING"]}'
    server.answer = lambda _: (200, b'{"jobs": [%b, {"job_id": 3, "name": "a.1", "job_state": []}]}' % other)
    assert [job.name for job in client.jobs()] == ["\N{REPLACEMENT CHARACTER}\N{SYMBOL FOR LINE FEED}", "a.1"]


def test_node_is_listed_once(client: SlurmClient, server: Server) -> None:
    server.answers({"nodes": [{"name": "n1", "state": ["IDLE"]}, {"name": "n2"}, {"name": "n1", "state": ["DOWN"]}]})
    assert [(node.name, node.state) for node in client.nodes()] == [("n1", "up"), ("n2", "unknown")]


def test_user_is_read_from_the_token(client: SlurmClient, token: Path) -> None:
    assert client.user is None
    client.jobs()
    assert client.user is None
    claims = base64.urlsafe_b64encode(b'{"sun": "trainer"}').decode().rstrip("=")
    token.write_text(f"SLURM_JWT=e30.{claims}.x")
    client.jobs()
    assert client.user == "trainer"


def test_endless_headers_time_out(token: Path) -> None:
    is_given_up = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not is_given_up.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        hasty = SlurmClient(f"http://127.0.0.1:{listener.getsockname()[1]}", token, answer_seconds=0.3)
        with pytest.raises(SlurmUnreachable):
            hasty.jobs()
        is_given_up.set()
        thread.join(5)
        hasty.close()


def test_answer_has_a_size_limit(client: SlurmClient, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    server.answer = lambda _: (200, b" " * 2000)
    with pytest.raises(SlurmUnreachable, match="too long"):
        client.jobs()


def test_answer_has_a_time_limit(server: Server, token: Path) -> None:
    is_given_up = threading.Event()
    waited: list[bool] = []
    server.answer = lambda _: (waited.append(is_given_up.wait(30)), (200, b"{}"))[1]
    hasty = SlurmClient(server.url, token, answer_seconds=0.5)
    with pytest.raises(SlurmUnreachable):
        hasty.jobs()
    is_given_up.set()
    server.close()
    hasty.close()
    assert set(waited) <= {True}


def test_missing_server_is_unreachable(token: Path) -> None:
    with pytest.raises(SlurmUnreachable):
        SlurmClient("http://127.0.0.1:9", token).jobs()
    with pytest.raises(SlurmUnreachable):
        SlurmClient("unix:///no/such/socket", token).jobs()


def test_states_are_listed_for_all_jobs_by_number(client: SlurmClient, server: Server) -> None:
    server.answers({"jobs": [{"job_id": "7", "state": ["RUNNING"]}, {"job_id": "x", "state": []}, None]})
    assert client.states() == {7: {"RUNNING"}}


def test_unknown_job_is_none(client: SlurmClient, server: Server) -> None:
    server.answers({"jobs": [], "errors": [{"error_number": 2017, "error": "Invalid job id specified"}]}, 404)
    assert client.job(9) is None


def jwt(**claims: object) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims)]
    return ".".join([*parts, "signature"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.mark.parametrize("text", [b"t0ken", b"SLURM_JWT=t0ken\n", b"  t0ken\r\n", b"SLURM_JWT=t0ken\r\n\r\n"])
def test_token_file_contains_a_token_or_scontrol_output(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert TokenFile(path).read().text == "t0ken"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b" \r\n", "it is empty"),
        (b"SLURM_JWT=", "it must contain one token"),
        (b"a\nb", "one line"),
        (b"a b", "one line"),
        (b"a\0b", "one line"),
        ("tök".encode(), "characters other than ASCII"),
        (b"\xef\xbb\xbft0ken", "characters other than ASCII"),
        (b"a" * 20_000, "more than 16,384 bytes"),
    ],
)
def test_invalid_token_is_reported_without_its_content(path: Path, text: bytes, why: str) -> None:
    path.write_bytes(text)
    with pytest.raises((OSError, ValueError), match=why) as raised:
        TokenFile(path).read()
    assert "a b" not in str(raised.value)


def test_pipe_instead_of_a_file_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    for place in (path, path.parent, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is no plain file"):
            TokenFile(place).read()


def test_link_is_followed_as_mounted_secrets_need_it(path: Path) -> None:
    (path.parent / "data").write_text("t0ken")
    path.symlink_to("data")
    assert TokenFile(path).read().text == "t0ken"


def test_new_token_is_read_immediately(path: Path) -> None:
    file = TokenFile(path)
    for number in range(9):
        path.write_text(f"token{number}") if number % 2 else os.replace(_write(path, f"token{number}"), path)
        assert file.read().text == f"token{number}"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read()
    path.write_text("back")
    assert file.read().text == "back"


def _write(path: Path, text: str) -> Path:
    new = path.with_name("new")
    new.write_text(text)
    return new


def test_user_and_expiry_are_read_from_the_token() -> None:
    token = parse_token(jwt(sun="trainer", exp=1_764_000_000).encode())
    assert (token.user, token.ends_at) == ("trainer", 1_764_000_000)
    assert token.why_refused(1_764_000_001).startswith("was good until 2025-11-24 16:00:00 UTC")
    assert token.why_refused(1_763_999_999).startswith("was rejected")


@pytest.mark.parametrize("text", [jwt(sun=7, exp="x"), jwt(exp=float("nan")), jwt(exp=10**400), "a.b.c", "a..c", "x"])
def test_token_of_another_form_is_accepted(text: str) -> None:
    token = parse_token(text.encode())
    assert (token.text, token.user, token.ends_at) == (text, None, None)
