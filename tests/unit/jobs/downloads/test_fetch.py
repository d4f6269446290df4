import fcntl
import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from api.domain.tasks.cause import CauseCode
from api.jobs.downloads import fetch as fetch_module
from api.jobs.downloads.allowance import INCOMING
from api.jobs.downloads.answers import LONGEST_WAIT, PATIENCE_SECONDS
from api.jobs.downloads.fetch import FetchContext, RemoteFile, check_content, fetch
from api.jobs.downloads.http import open_client
from api.jobs.errors import JobFailed, StopRequested
from api.util.http.addresses import ReachableHosts
from tests.lengths import length
from tests.local_hub import LocalHub, cutting, running_hub
from tests.unit.files.weights.stand_ins import STAND_INS, header_bytes, write_stand_in

NAME = "a/model.safetensors"


def weights(seed: int = 1, size: int = 300_000) -> bytes:
    start, length = header_bytes({"w": [size]}, "U8")
    return start + random.Random(seed).randbytes(length)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalHub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def hub(server: LocalHub) -> LocalHub:
    server.files.clear()
    server.requests.clear()
    server.fault = server.redirect = None
    return server


def around(root: Path, hub: LocalHub, **more: Any) -> FetchContext:
    hosts = ReachableHosts.of([hub.address.removeprefix("http://")])
    given = {"allows_pickles": False, "report": lambda there, doing: None, "warn": lambda text: None}
    given |= {"is_stopping": lambda: False, "sleep": lambda seconds: None, **more}
    return FetchContext(root=root, client=open_client(hosts), **given)


def remote(hub: LocalHub, content: bytes, name: str = NAME, **more: Any) -> RemoteFile:
    hub.add("o/m", name, content)
    given: dict[str, Any] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **more}
    return RemoteFile(f"{hub.address}/o/m/resolve/main/{name}", "o/m", name, **given)


def test_complete_file_is_not_fetched_twice(tmp_path: Path, hub: LocalHub):
    content = weights()
    file = remote(hub, content)
    place = fetch(file, around(tmp_path, hub))
    assert place == tmp_path / "o/m" / NAME
    assert place.read_bytes() == content
    assert fetch(file, around(tmp_path, hub)) == place
    assert len(hub.requests) == 1
    assert list((tmp_path / INCOMING).iterdir()) == []


def test_file_is_complete_or_absent_after_any_failure(tmp_path: Path, hub: LocalHub):
    """Inject random faults and stops; tests/e2e/test_download_kills.py adds kills."""
    chance = random.Random(5)
    for number in range(length(200, 12)):
        content = weights(number, 100_000 + number)
        file = remote(hub, content, f"{number}/m.safetensors")
        hub.fault = cutting(number, 0.6)
        left = [chance.randrange(1, 40)]

        def is_stopping(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] == 0

        place = tmp_path / "o/m" / file.name
        for _ in range(50):
            try:
                fetch(file, around(tmp_path, hub, is_stopping=is_stopping))
                break
            except (StopRequested, JobFailed):
                assert not place.exists()
        assert place.read_bytes() == content


def test_interrupted_download_is_continued(tmp_path: Path, hub: LocalHub):
    content = weights()
    file = remote(hub, content)
    counts = iter([False, True])

    def cut(handler: Any, body: bytes) -> bool:
        if next(counts, True):
            return False
        handler.answer(200, body[:100_000], len(body))
        handler.close_connection = True
        return True

    hub.fault = cut
    assert fetch(file, around(tmp_path, hub)).read_bytes() == content
    assert [wanted for _, wanted, _ in hub.requests] == [None, "bytes=100000-"]


@pytest.mark.parametrize("known", [{"sha256": "0" * 64}, {"sha256": None, "git_sha1": "0" * 40}])
def test_file_with_a_wrong_hash_is_deleted(tmp_path: Path, hub: LocalHub, known: dict[str, Any]):
    with pytest.raises(JobFailed, match="hash") as refused:
        fetch(remote(hub, weights(), **known), around(tmp_path, hub))
    assert refused.value.cause is CauseCode.WRONG_HASH
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_file_longer_than_announced_is_rejected(tmp_path: Path, hub: LocalHub):
    with pytest.raises(JobFailed, match="longer"):
        fetch(remote(hub, weights(), size=1000), around(tmp_path, hub))


@pytest.mark.parametrize(("status", "what"), [(401, "licence"), (403, "licence"), (404, "404"), (410, "410")])
def test_rejection_by_the_server_is_reported_without_a_retry(tmp_path: Path, hub: LocalHub, status: int, what: str):
    file = remote(hub, weights())
    hub.fault = lambda handler, body: handler.answer(status, b"") or True  # type: ignore[attr-defined]
    with pytest.raises(JobFailed, match=what) as refused:
        fetch(file, around(tmp_path, hub))
    assert len(hub.requests) == 1
    assert refused.value.cause is (CauseCode.UNAUTHORIZED if what == "licence" else CauseCode.NOT_FOUND)


def test_download_fails_after_too_many_bad_answers(tmp_path: Path, hub: LocalHub):
    file, slept = remote(hub, weights()), []
    hub.fault = lambda handler, body: handler.answer(429, b"", **{"Retry-After": "3"}) or True  # type: ignore[attr-defined]
    with pytest.raises(JobFailed, match="429") as refused:
        fetch(file, around(tmp_path, hub, sleep=slept.append))
    assert refused.value.cause is CauseCode.NETWORK
    assert PATIENCE_SECONDS <= sum(slept) < PATIENCE_SECONDS + LONGEST_WAIT


def test_download_fails_when_tries_bring_too_few_bytes(tmp_path: Path, hub: LocalHub):
    file = remote(hub, weights())

    def cut(handler: Any, body: bytes) -> bool:
        begin = handler.begin_of_range() or 0
        handler.answer(206, body[begin : begin + 100], len(body) - begin, **{"Content-Range": f"bytes {begin}-"})
        handler.close_connection = True
        return True

    hub.fault = cut
    with pytest.raises(JobFailed, match="cannot be downloaded"):
        fetch(file, around(tmp_path, hub))
    assert len(hub.requests) == 11


def test_too_slow_connection_is_interrupted(tmp_path: Path, hub: LocalHub):
    result: list[str] = []
    times = iter(range(0, 100_000, 1_000))
    slow = around(tmp_path, hub, warn=result.append, clock=lambda: float(next(times)))
    content = weights()
    assert fetch(remote(hub, content), slow).read_bytes() == content
    assert "bytes per second" in result[0]
    assert len(hub.requests) > 1


def test_unresolvable_name_is_retried(tmp_path: Path, hub: LocalHub):
    result: list[str] = []
    lost = RemoteFile("http://absent.invalid/m.safetensors", "o/m", NAME, 5, "0" * 64)
    with pytest.raises(JobFailed, match="cannot be resolved"):
        fetch(lost, around(tmp_path, hub, warn=result.append))
    assert len(result) == 10


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "http://localhost:9/x", "http://169.254.169.254/latest"])
def test_private_address_is_rejected_also_behind_a_redirect(tmp_path: Path, hub: LocalHub, address: str):
    direct = RemoteFile(address, "d", "a.txt", None)
    with pytest.raises(JobFailed, match="PRIVATE_HOSTS_ALLOWED"):
        fetch(direct, around(tmp_path, hub))
    file = remote(hub, weights())
    hub.redirect = address
    with pytest.raises(JobFailed, match="PRIVATE_HOSTS_ALLOWED"):
        fetch(file, around(tmp_path, hub))


def test_file_without_a_hash_is_never_joined_from_two_versions(tmp_path: Path, hub: LocalHub):
    first, second = weights(1), weights(2)
    file = remote(hub, first, sha256=None)

    def cut_and_change(handler: Any, content: bytes) -> bool:
        handler.answer(200, content[:100_000], len(content))
        handler.close_connection = True
        hub.fault = None
        hub.add("o/m", NAME, second)
        return True

    hub.fault = cut_and_change
    assert fetch(file, around(tmp_path, hub)).read_bytes() == second
    assert [wanted for _, wanted, _ in hub.requests] == [None, None]


def test_two_files_of_one_name_do_not_replace_each_other(tmp_path: Path, hub: LocalHub):
    first, second = weights(1), weights(2)
    place = fetch(remote(hub, first, may_replace=False), around(tmp_path, hub))
    with pytest.raises(JobFailed, match="another `name`"):
        fetch(remote(hub, second, may_replace=False), around(tmp_path, hub))
    assert place.read_bytes() == first
    # The same file exists already; the server does not announce its length.
    hub.add("o/m", NAME, b"")
    same = remote(hub, first, may_replace=False, size=None)
    assert fetch(same, around(tmp_path, hub)) == place
    # In a repository, it is another version of the same file.
    assert fetch(remote(hub, second), around(tmp_path, hub)).read_bytes() == second


def test_name_in_use_is_rejected_before_the_first_byte(tmp_path: Path, hub: LocalHub):
    """The name is free again after the other download has stopped."""
    first, second = (remote(hub, weights(seed), may_replace=False) for seed in (1, 2))
    refusals: list[str] = []

    def meanwhile(there: int, doing: str) -> None:
        if doing == "downloading" and not refusals:
            asked = len(hub.requests)
            with pytest.raises(JobFailed, match="another `name`") as refused:
                fetch(second, around(tmp_path, hub))
            refusals.append(str(refused.value))
            assert len(hub.requests) == asked
            raise StopRequested

    hub.add("o/m", NAME, weights(1))
    with pytest.raises(StopRequested):
        fetch(first, around(tmp_path, hub, report=meanwhile))
    assert len(refusals) == 1
    hub.add("o/m", NAME, weights(2))
    assert fetch(second, around(tmp_path, hub)).read_bytes() == weights(2)


def test_redirect_loops_and_invalid_targets_are_not_retried(tmp_path: Path, hub: LocalHub):
    file = remote(hub, weights())
    for address, cause in (
        (file.url, CauseCode.NETWORK),
        ("file:///etc/passwd", CauseCode.REFUSED_ADDRESS),
    ):
        hub.redirect = address
        with pytest.raises(JobFailed, match="cannot be downloaded") as refused:
            fetch(file, around(tmp_path, hub, warn=pytest.fail))
        assert refused.value.cause is cause


def test_key_is_not_sent_to_the_target_of_a_redirect(tmp_path: Path, hub: LocalHub):
    content = weights()
    with running_hub() as other:
        other.add("o/m", NAME, content)
        hosts = [each.address.removeprefix("http://") for each in (hub, other)]
        file = remote(hub, content, headers={"Authorization": "Bearer hf_secret"})
        hub.redirect = f"{other.address}/o/m/resolve/main/{NAME}"
        both = FetchContext(
            tmp_path, open_client(ReachableHosts.of(hosts)), False, lambda *_: None, print, lambda: False
        )
        assert fetch(file, both).read_bytes() == content
        assert [given for *_, given in hub.requests] == ["Bearer hf_secret"]
        assert [given for *_, given in other.requests] == [None]


def test_two_tasks_fetch_a_file_once(tmp_path: Path, hub: LocalHub):
    file = remote(hub, weights())
    threads = [threading.Thread(target=fetch, args=(file, around(tmp_path, hub))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(hub.requests) == 1


def test_file_that_can_contain_code_is_rejected_unless_its_hash_was_given(tmp_path: Path, hub: LocalHub):
    pickle = b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + bytes(18)
    with pytest.raises(JobFailed, match="SHA-256"):
        fetch(remote(hub, pickle, "a.pth"), around(tmp_path, hub))
    assert fetch(remote(hub, pickle, "b.pth", is_pinned=True), around(tmp_path, hub)).is_file()
    with pytest.raises(JobFailed, match="is a web page"):
        fetch(remote(hub, b"<!DOCTYPE html>", "c.safetensors"), around(tmp_path, hub))
    assert fetch(remote(hub, b"{}", "config.json"), around(tmp_path, hub)).is_file()


def test_stopped_download_is_continued_by_the_next(tmp_path: Path, hub: LocalHub):
    file = remote(hub, weights(size=3_000_000))
    stops = iter([False, False, True])
    with pytest.raises(StopRequested):
        fetch(file, around(tmp_path, hub, is_stopping=lambda: next(stops, False)))
    (part,) = (tmp_path / INCOMING).glob("*.part")
    assert 0 < part.stat().st_size < file.size
    assert fetch(file, around(tmp_path, hub)).stat().st_size == file.size
    assert hub.requests[-1][1] is not None


def test_endless_file_does_not_fill_the_disk(tmp_path: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch_module, "_CHECK_BYTES", 1)
    file = remote(hub, weights(size=8_000_000), size=None)
    with pytest.raises(JobFailed, match="too little disk space"):
        fetch(file, around(tmp_path, hub, min_free_bytes=2**62))


def test_rejected_file_leaves_nothing(tmp_path: Path, hub: LocalHub):
    with pytest.raises(JobFailed, match="hash"):
        fetch(remote(hub, weights(), sha256="0" * 64), around(tmp_path, hub))
    hub.fault = lambda handler, content: handler.answer(403, b"") or True
    with pytest.raises(JobFailed, match="403"):
        fetch(remote(hub, weights(), "other.safetensors"), around(tmp_path, hub))
    assert list((tmp_path / INCOMING).iterdir()) == []


def test_waiter_for_a_removed_lock_takes_the_new_one(tmp_path: Path, hub: LocalHub):
    file = remote(hub, weights())
    (tmp_path / INCOMING).mkdir()
    lock = tmp_path / INCOMING / f"{file.key}.lock"
    waits: list[float] = []
    with lock.open("w") as removed:
        fcntl.flock(removed, fcntl.LOCK_EX)

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 1:  # the first holder ends, and another one has locked a new file
                lock.unlink()
                held.append(lock.open("w"))
                fcntl.flock(held[0], fcntl.LOCK_EX)
                fcntl.flock(removed, fcntl.LOCK_UN)
            elif len(waits) == 3:
                held[0].close()

        held: list[IO[str]] = []
        assert fetch(file, around(tmp_path, hub, sleep=sleep)).is_file()
    assert len(waits) >= 3


@pytest.mark.parametrize("host", ["a" * 300, "127.0.0.1:65536", "127.0.0.1:0", "a..b"])
def test_invalid_url_is_tried_once(tmp_path: Path, hub: LocalHub, host: str):
    result: list[str] = []
    file = replace(remote(hub, weights()), url=f"http://{host}/w.safetensors")
    with pytest.raises(JobFailed):
        fetch(file, around(tmp_path, hub, warn=result.append))
    assert result == []


ZIP = b"PK\x03\x04" + bytes(40) + b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", ZIP),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        ("A.SAFETENSORS", b"<html>"),
        ("a.sft", b""),
        ("a.bin", b"cos\nsystem\n(S'true'\ntR."),
        ("a.ckpt", b"\x80\x02}q\x00."),
        ("notes.txt", ZIP),
        ("notes.txt", b"cos\nsystem\n(S'true'\ntR."),
        ("a.th", b"something else"),
    ],
)
def test_broken_weights_and_code_are_rejected(tmp_path: Path, name: str, content: bytes):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(JobFailed):
        check_content(tmp_path / "x", name, allows_pickles=False)


def test_plain_and_allowed_files_are_accepted(tmp_path: Path):
    (tmp_path / "x").write_bytes(ZIP)
    check_content(tmp_path / "x", "a.pth", allows_pickles=True)
    (tmp_path / "x").write_bytes(b'{"a": 1}')
    check_content(tmp_path / "x", "config.json", allows_pickles=False)
    path = write_stand_in(tmp_path / "y", STAND_INS["vae-flux"])
    check_content(path, "ae.safetensors", allows_pickles=False)


def test_safetensors_with_the_name_of_a_pickle_are_rejected(tmp_path: Path):
    path = write_stand_in(tmp_path / "y", STAND_INS["vae-flux"])
    with pytest.raises(JobFailed, match="can contain code"):
        check_content(path, "ae.bin", allows_pickles=False)
    check_content(path, "ae.bin", allows_pickles=True)
