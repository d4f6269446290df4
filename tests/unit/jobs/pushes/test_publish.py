import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.jobs.downloads.answers import LONGEST_WAIT, PATIENCE_SECONDS
from api.jobs.errors import JobFailed, StopRequested
from api.jobs.pushes.publish import WatchedFile
from api.jobs.pushes.request import CARD, CardRule, PushedFile
from tests.local_hub import LocalHub, running_hub
from tests.unit.jobs.pushes.builders import CARD_TEXT, CONTENT, TOKEN, Push

#: The hub's library uses a deprecated argument of httpx.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content")

NAME = "cats-v1.safetensors"


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with running_hub(LocalHub(token=TOKEN)) as found:
        yield found


def answering(what: str, status: int, times: int = 1, **headers: str) -> Callable[[Any, str], bool]:
    """A fault that answers a number of requests of this kind with this status."""
    left = [times]

    def fault(handler: Any, found: str) -> bool:
        if found != what or not left[0]:
            return False
        left[0] -= 1
        handler.answer(status, b"{}", **headers)
        return True

    return fault


def test_push_is_one_commit(hub: LocalHub, tmp_path: Path):
    done = Push(hub, tmp_path).publisher.run()
    assert hub.files["ann/cats"] == {NAME: CONTENT, CARD: CARD_TEXT.encode()}
    assert hub.commits == [("ann/cats", "cats v1", [CARD, NAME])]
    assert (done.commit, done.is_new) == (hub.revision_of("ann/cats"), True)


def test_second_push_sends_and_commits_nothing(hub: LocalHub, tmp_path: Path):
    Push(hub, tmp_path).publisher.run()
    hub.requests.clear()
    done = Push(hub, tmp_path).publisher.run()
    assert (len(hub.commits), done.is_new) == (1, False)
    assert not [path for path, *_ in hub.requests if path.startswith("/lfs/") or "/commit/" in path]


def _losing(content: bytes | None) -> Callable[[Any, str], bool]:
    """A fault that replaces the weights when the commit is made, or loses them."""

    def fault(handler: Any, what: str) -> bool:
        if what == "commit":
            answer, files = handler.answer, handler.hub.files["ann/cats"]

            def spoil(*given: Any, **more: Any) -> None:
                handler.answer = answer
                del files[NAME]
                files.update({} if content is None else {NAME: content})
                answer(*given, **more)

            handler.answer = spoil
        return False

    return fault


@pytest.mark.parametrize("content", [None, b"x" * len(CONTENT), b"short"], ids=["missing", "other bytes", "cut"])
def test_push_fails_if_the_hub_has_other_bytes_than_were_sent(hub: LocalHub, tmp_path: Path, content: bytes | None):
    hub.write_fault = _losing(content)
    with pytest.raises(JobFailed, match=f"does not have {NAME} as it was sent"):
        Push(hub, tmp_path).publisher.run()


def test_large_file_is_sent_in_parts(hub: LocalHub, tmp_path: Path):
    hub.part_size = 100_000
    Push(hub, tmp_path).publisher.run()
    assert hub.files["ann/cats"][NAME] == CONTENT


def test_sent_bytes_are_reported(hub: LocalHub, tmp_path: Path):
    push = Push(hub, tmp_path)
    push.publisher.run()
    sent = [there for at, there, doing in push.reported if at == 0 and doing == "pushing"]
    assert sent == sorted(sent)
    assert sent[-1] == len(CONTENT)


@pytest.mark.parametrize("what", ["create", "preupload", "lfs", "put", "commit"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_temporary_error_of_the_hub_is_retried(hub: LocalHub, tmp_path: Path, what: str, status: int):
    hub.write_fault = answering(what, status, **{"Retry-After": "7"})
    push = Push(hub, tmp_path)
    push.publisher.run()
    assert hub.files["ann/cats"][NAME] == CONTENT
    assert sum(push.waits) == 7
    assert len(push.problems) == 1


@pytest.mark.parametrize("status", [409, 412])
def test_commit_is_retried_after_a_concurrent_one(hub: LocalHub, tmp_path: Path, status: int):
    hub.write_fault = answering("commit", status)
    Push(hub, tmp_path).publisher.run()
    assert len(hub.commits) == 1


def test_commit_whose_answer_is_lost_is_not_made_twice(hub: LocalHub, tmp_path: Path):
    lost = []

    def cut(handler: Any, what: str) -> bool:
        if what != "commit" or lost:
            return False
        lost.append(1)
        handler.answer = lambda *_, **__: setattr(handler, "close_connection", True)
        return False

    hub.write_fault = cut
    done = Push(hub, tmp_path).publisher.run()
    assert len(hub.commits) == 1
    assert done.commit == hub.revision_of("ann/cats")


@pytest.mark.parametrize(
    ("what", "status", "text"),
    [
        ("create", 403, "write access"),
        ("create", 401, "does not know the token"),
        ("preupload", 403, "write access"),
        ("lfs", 413, "storage is used up"),
        ("put", 413, "storage is used up"),
        ("commit", 403, "write access"),
        ("commit", 400, "answers 400"),
    ],
)
def test_rejection_is_reported_immediately_with_a_remedy(
    hub: LocalHub, tmp_path: Path, what: str, status: int, text: str
):
    hub.write_fault = answering(what, status, 99, **{"X-Error-Message": f"no {TOKEN}"})
    push = Push(hub, tmp_path)
    with pytest.raises(JobFailed, match=text) as refused:
        push.publisher.run()
    assert push.waits == []
    assert TOKEN not in str(refused.value)
    assert "signature" not in str(refused.value)


def test_unknown_token_is_reported(hub: LocalHub, tmp_path: Path):
    hub.token = "another"
    with pytest.raises(JobFailed, match="does not know the token"):
        Push(hub, tmp_path).publisher.run()


def test_unreachable_hub_is_retried_for_minutes(tmp_path: Path):
    with running_hub() as gone:
        push = Push(gone, tmp_path)
    with pytest.raises(JobFailed, match="connection to the hub"):
        push.publisher.run()
    assert 120 < sum(push.waits) < 600


def test_interrupted_connections_lose_nothing(hub: LocalHub, tmp_path: Path):
    left = [3]

    def cut(handler: Any, what: str) -> bool:
        if what not in ("put", "lfs") or not left[0]:
            return False
        left[0] -= 1
        handler.close_connection = True
        handler.connection.close()
        return True

    hub.write_fault = cut
    Push(hub, tmp_path).publisher.run()
    assert hub.files["ann/cats"][NAME] == CONTENT


def test_foreign_card_stays(hub: LocalHub, tmp_path: Path):
    hub.add("ann/cats", CARD, b"# my own words")
    done = Push(hub, tmp_path).publisher.run()
    assert (hub.files["ann/cats"][CARD], done.card_left) == (b"# my own words", True)
    assert hub.files["ann/cats"][NAME] == CONTENT
    Push(hub, tmp_path, card=CardRule.ALWAYS).publisher.run()
    assert hub.files["ann/cats"][CARD] == CARD_TEXT.encode()


def test_repository_is_created_only_on_request(hub: LocalHub, tmp_path: Path):
    with pytest.raises(JobFailed, match="no repository ann/cats"):
        Push(hub, tmp_path, creates=False).publisher.run()
    assert hub.files == {}


def test_file_is_not_sent_to_a_private_address(hub: LocalHub, tmp_path: Path):
    hub.upload_address = "http://127.0.0.2:9"
    push = Push(hub, tmp_path)
    with pytest.raises(JobFailed, match="PRIVATE_HOSTS_ALLOWED"):
        push.publisher.run()
    assert push.waits == []


def test_token_is_not_sent_to_the_file_storage(hub: LocalHub, tmp_path: Path):
    Push(hub, tmp_path).publisher.run()
    assert {given for path, _, given in hub.requests if path.startswith("/lfs/")} == {None}


def test_push_stops_in_the_middle_of_a_file(hub: LocalHub, tmp_path: Path):
    push = Push(hub, tmp_path)

    def stop(*reported: Any) -> None:
        push.is_stopping = reported[2] == "pushing"

    push.publisher.report = stop
    with pytest.raises(StopRequested):
        push.publisher.run()
    assert hub.commits == []


def test_three_pushes_of_the_same_files_at_once_make_one_commit(hub: LocalHub, tmp_path: Path):
    together = threading.Barrier(3)
    met: set[int] = set()

    def meet(handler: Any, what: str) -> bool:
        if what == "commit" and len(met) < 3:  # all three have seen the repository without the files
            met.add(together.wait(20))
        return False

    hub.add("ann/cats", "README.md", CARD_TEXT.encode())
    hub.write_fault = meet
    pushes = []
    for name in "abc":
        (tmp_path / name).mkdir()
        pushes.append(Push(hub, tmp_path / name))
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda push: push.publisher.run(), pushes))
    assert hub.files["ann/cats"] == {NAME: CONTENT, CARD: CARD_TEXT.encode()}
    assert len(hub.commits) == 1
    assert sorted(done.is_new for done in results) == [False, False, True]


def test_first_commit_of_a_new_repository_names_its_parent(hub: LocalHub, tmp_path: Path):
    def another_commit(handler: Any, what: str) -> bool:
        if what == "commit" and not hub.commits:
            hub.commits.append(("ann/cats", "theirs", []))
        return False

    hub.write_fault = another_commit
    push = Push(hub, tmp_path)
    push.publisher.run()
    assert [message for _, message, _ in hub.commits] == ["theirs", "cats v1"]
    assert "412" in push.problems[0]


@pytest.mark.slow
def test_progressing_push_survives_any_number_of_outages(hub: LocalHub, tmp_path: Path):
    names = [f"part-{number:02}.safetensors" for number in range(40)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(number.to_bytes(4))
    stumbled: set[str] = set()

    def stumble(handler: Any, what: str) -> bool:
        if what != "put" or handler.path in stumbled:
            return False
        stumbled.add(handler.path)
        handler.answer(503, b"", **{"Retry-After": "20"})
        return True

    hub.write_fault = stumble
    push = Push(hub, tmp_path, files=tuple(PushedFile(name, name, 4) for name in names))
    push.publisher.run()
    assert set(hub.files["ann/cats"]) == set(names)
    assert sum(push.waits) == 40 * 20


def test_push_without_progress_fails_after_minutes(hub: LocalHub, tmp_path: Path):
    hub.write_fault = answering("put", 503, 999, **{"Retry-After": "1"})
    push = Push(hub, tmp_path)
    with pytest.raises(JobFailed, match="503"):
        push.publisher.run()
    assert PATIENCE_SECONDS <= sum(push.waits) < PATIENCE_SECONDS + LONGEST_WAIT


def test_missing_file_is_reported(hub: LocalHub, tmp_path: Path):
    push = Push(hub, tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(JobFailed, match="No such file"):
        push.publisher.run()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_fails_a_push_immediately(hub: LocalHub, tmp_path: Path, code: int):
    push = Push(hub, tmp_path)

    def note(*_: object) -> None:
        raise OSError(code, "No space left on device")

    push.publisher.report = note
    with pytest.raises(JobFailed, match="too little disk space"):
        push.publisher.run()
    assert (push.waits, hub.commits) == ([], [])


def test_only_sent_bytes_are_reported(tmp_path: Path):
    (tmp_path / "w").write_bytes(b"x" * 100)
    result: list[int] = []
    with WatchedFile(tmp_path / "w", result.append, lambda: False) as file:
        assert len(file.read(60)) == 60
        file.seek(0)
        file.is_sent = True
        while file.read(40):
            pass
    assert result == [40, 80, 100, 100]


def test_reading_stops_with_the_program(tmp_path: Path):
    (tmp_path / "w").write_bytes(b"x")
    with WatchedFile(tmp_path / "w", print, lambda: True) as file, pytest.raises(StopRequested):
        file.read(1)
