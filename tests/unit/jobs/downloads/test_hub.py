import gzip
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.answers import LONGEST_WAIT, PATIENCE_SECONDS
from api.jobs.downloads.http import open_client
from api.jobs.downloads.hub import Hub
from api.jobs.downloads.request import RepositoryRequest
from api.jobs.errors import JobFailed, StopRequested
from api.util.http.addresses import ReachableHosts
from tests.local_hub import REVISION, LocalHub, running_hub


@pytest.fixture(scope="module")
def server() -> Iterator[LocalHub]:
    found = LocalHub()
    found.add("o/m", "a/w.safetensors", b"weights")
    found.add("o/m", "b/w.safetensors", b"others")
    found.add("o/m", "vae/ae.safetensors", b"vae")
    found.add("o/m", "config.json", b"{}")
    with running_hub(found) as hub:
        yield hub


def hub_of(server: LocalHub, *, guarded: bool = False, token: str | None = None) -> Hub:
    allowed = [] if guarded else [server.address.removeprefix("http://")]
    return Hub(server.address, token, open_client(ReachableHosts.of(allowed)))


class Drip(httpx.SyncByteStream):
    """An endless stream of single bytes."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b" "


def answering(answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> Hub:
    client = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)
    return Hub("http://hub.test", None, client, **{"sleep": lambda seconds: None, **more})


def refuse_to_sleep(seconds: float) -> None:
    raise AssertionError("the request was retried")


def request(*include: str, exclude: tuple[str, ...] = (), **more: object) -> RepositoryRequest:
    given = {"repository": "o/m", "revision": None, "sha256": {}, **more}
    return RepositoryRequest(include=include, exclude=exclude, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (request(), ["a/w.safetensors", "b/w.safetensors", "config.json", "vae/ae.safetensors"]),
        (request(exclude=("*.safetensors",)), ["config.json"]),
        (request("vae/*", "config.json"), ["config.json", "vae/ae.safetensors"]),
        (request("split_files/vae/ae.safetensors"), ["vae/ae.safetensors"]),
    ],
)
def test_requested_files_are_found(server: LocalHub, wanted: RepositoryRequest, names: list[str]):
    assert sorted(file.name for file in hub_of(server).list_files(wanted)) == names


def test_file_has_its_size_its_hash_and_the_commit(server: LocalHub):
    pinned = request("a/w.safetensors", "config.json", sha256={"a/w.safetensors": "1" * 64})
    files = {file.name: file for file in hub_of(server, token="t").list_files(pinned)}
    weights, config = files["a/w.safetensors"], files["config.json"]
    assert (weights.size, weights.sha256, weights.is_pinned) == (7, "1" * 64, True)
    assert (config.sha256, len(config.git_sha1 or ""), config.is_pinned) == (None, 40, False)
    assert f"/resolve/{REVISION}/" in weights.url
    assert weights.headers == {"Authorization": "Bearer t"}


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        (request("w.safetensors"), "several"),
        (request("absent.bin"), "no file absent.bin"),
        (request("absent/*"), "no file"),
        (request(exclude=("*",)), "No file of o/m is left"),
        (request(repository="o/absent"), "has no public repository"),
        (request(repository="a/b/c"), "not a repository name"),
    ],
)
def test_missing_files_are_reported(server: LocalHub, wanted: RepositoryRequest, what: str):
    with pytest.raises(JobFailed, match=what) as refused:
        hub_of(server).list_files(wanted)
    assert refused.value.cause is CauseCode.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (401, "GatedRepo", CauseCode.GATED),
        (403, "", CauseCode.GATED),
        (401, "RepoNotFound", CauseCode.NOT_FOUND),
        (404, "RevisionNotFound", CauseCode.NOT_FOUND),
        (401, "", CauseCode.UNAUTHORIZED),
        (422, "", CauseCode.NETWORK),
    ],
)
def test_rejection_by_the_hub_has_its_cause(status: int, code: str, cause: CauseCode):
    headers = {"X-Error-Code": code} if code else {}
    with pytest.raises(JobFailed) as refused:
        answering(lambda request: httpx.Response(status, headers=headers)).list_files(request())
    assert refused.value.cause is cause


def test_unreachable_hub_is_retried_with_waits():
    slept, warnings = list[float](), list[str]()
    client = open_client(ReachableHosts.of(["127.0.0.1"]))
    closed = Hub("http://127.0.0.1:9", None, client, sleep=slept.append, warn=warnings.append)
    with pytest.raises(JobFailed, match="cannot describe") as refused:
        closed.list_files(request())
    assert refused.value.cause is CauseCode.NETWORK
    assert PATIENCE_SECONDS <= sum(slept) < PATIENCE_SECONDS + LONGEST_WAIT
    assert "cannot describe o/m" in warnings[0]


def test_one_hub_lists_any_number_of_repositories(server: LocalHub):
    hub = hub_of(server)
    assert [len(hub.list_files(request())) for _ in range(3)] == [4, 4, 4]


@pytest.mark.parametrize(("answer", "what"), [(b"<html>", "not JSON"), (b" " * (33 * 2**20), "longer than")])
def test_answer_that_is_not_from_a_hub_is_rejected(answer: bytes, what: str):
    with pytest.raises(JobFailed, match=f"cannot be read.*{what}.*HF_ENDPOINT"):
        answering(lambda request: httpx.Response(200, content=answer)).list_files(request())


@pytest.mark.slow
def test_compressed_answer_is_limited():
    packed = gzip.compress(b" " * (200 * 2**20))
    with pytest.raises(JobFailed, match="longer than"):
        answering(lambda request: httpx.Response(200, content=packed, headers={"Content-Encoding": "gzip"})).list_files(
            request()
        )


def test_slow_answer_times_out_and_can_be_stopped():
    times = iter(range(0, 10_000, 30))
    hub = answering(lambda request: httpx.Response(200, stream=Drip()), clock=lambda: float(next(times)))
    with pytest.raises(JobFailed, match="takes longer"):
        hub.list_files(request())
    with pytest.raises(StopRequested):
        answering(lambda request: httpx.Response(200, stream=Drip()), is_stopping=lambda: True).list_files(request())


@pytest.mark.parametrize("status", [401, 404, 410, 422])
def test_final_errors_are_not_retried(status: int):
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(status)

    with pytest.raises(JobFailed, match="o/m"):
        answering(answer).list_files(request())
    assert len(asked) == 1


def test_redirect_loop_is_not_retried():
    around = httpx.Response(302, headers={"Location": "http://hub.test/"})
    with pytest.raises(JobFailed, match="redirects") as refused:
        answering(lambda request: around, sleep=refuse_to_sleep).list_files(request())
    assert refused.value.cause is CauseCode.NETWORK


def test_unlisted_private_hub_is_not_contacted(server: LocalHub):
    server.requests.clear()
    with pytest.raises(JobFailed, match="private") as refused:
        hub_of(server, guarded=True).list_files(request())
    assert refused.value.cause is CauseCode.REFUSED_ADDRESS
    assert server.requests == []
