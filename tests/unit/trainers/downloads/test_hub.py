from collections.abc import Iterator

import pytest

from api.trainers.downloads.http import open_client
from api.trainers.downloads.hub import Hub
from api.trainers.downloads.refusal import DownloadRefused
from api.trainers.downloads.wish import RepositoryWish
from api.utils.addresses import ReachableHosts
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


def wish(*include: str, exclude: tuple[str, ...] = (), **more: object) -> RepositoryWish:
    given = {"repository": "o/m", "revision": None, "sha256": {}, **more}
    return RepositoryWish(include=include, exclude=exclude, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (wish(), ["a/w.safetensors", "b/w.safetensors", "config.json", "vae/ae.safetensors"]),
        (wish(exclude=("*.safetensors",)), ["config.json"]),
        (wish("vae/*", "config.json"), ["config.json", "vae/ae.safetensors"]),
        (wish("split_files/vae/ae.safetensors"), ["vae/ae.safetensors"]),
    ],
)
def test_files_that_are_wanted_are_found(server: LocalHub, wanted: RepositoryWish, names: list[str]):
    assert sorted(file.name for file in hub_of(server).list_files(wanted)) == names


def test_file_has_its_size_its_hash_and_the_commit(server: LocalHub):
    pinned = wish("a/w.safetensors", "config.json", sha256={"a/w.safetensors": "1" * 64})
    files = {file.name: file for file in hub_of(server, token="t").list_files(pinned)}
    weights, config = files["a/w.safetensors"], files["config.json"]
    assert (weights.size, weights.sha256, weights.is_pinned) == (7, "1" * 64, True)
    assert (config.sha256, len(config.git_sha1 or ""), config.is_pinned) == (None, 40, False)
    assert f"/resolve/{REVISION}/" in weights.url
    assert weights.headers == {"Authorization": "Bearer t"}


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        (wish("w.safetensors"), "several"),
        (wish("absent.bin"), "no file absent.bin"),
        (wish("absent/*"), "no file"),
        (wish(exclude=("*",)), "no file is wanted"),
        (wish(repository="o/absent"), "no repository"),
        (wish(repository="a/b/c"), "no name"),
    ],
)
def test_what_is_not_there_is_told(server: LocalHub, wanted: RepositoryWish, what: str):
    with pytest.raises(DownloadRefused, match=what):
        hub_of(server).list_files(wanted)


def test_hub_that_does_not_answer_is_asked_again_with_waits():
    slept: list[float] = []
    closed = Hub("http://127.0.0.1:9", None, open_client(ReachableHosts.of(["127.0.0.1"])), slept.append)
    with pytest.raises(DownloadRefused, match="cannot be asked"):
        closed.list_files(wish())
    assert slept == [1.0, 2.0, 4.0, 0]


def test_private_hub_that_nobody_has_listed_is_not_asked(server: LocalHub):
    server.asked.clear()
    with pytest.raises(DownloadRefused, match="private"):
        hub_of(server, guarded=True).list_files(wish())
    assert server.asked == []
