"""Downloading logs by HTTP."""

import os

import pytest

from tests.api.conftest import TRAINING, World
from tests.api.logs import write


@pytest.fixture
def cut(world: World) -> tuple[str, bytes]:
    """Return a task with a log in several segments, and its content."""
    task_id, content = world.run(), b"".join(b"line %d\n" % number for number in range(3000))
    write(world, task_id, content, segment_bytes=1000)
    assert len(os.listdir(world.storage / "tasks" / task_id / "log")) > 20
    return f"{TRAINING}/{task_id}/logs/download", content


def test_complete_log_is_one_file(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0])
    assert (answer.status_code, answer.content) == (200, cut[1])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="train_')
    assert answer.headers["accept-ranges"] == "bytes"


def test_inline_is_text_for_the_browser(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0] + "?inline=true")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=500-1500", slice(500, 1501)),
        ("bytes=20000-", slice(20000, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=0-999999999", slice(0, None)),
    ],
)
def test_range_can_be_requested(world: World, cut: tuple[str, bytes], wanted: str, part: slice):
    answer = world.client.get(cut[0], headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, cut[1][part])
    first = part.indices(len(cut[1]))[0]
    last = first + len(answer.content) - 1
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(cut[1])}"


def test_range_beyond_the_end_is_rejected(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0], headers={"Range": "bytes=99999999-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(cut[1])}")
    assert world.client.get(cut[0], headers={"Range": "lines=1-2"}).status_code == 400


def test_range_of_another_version_returns_the_complete_log(world: World, cut: tuple[str, bytes]):
    tag = world.client.get(cut[0]).headers["etag"]
    assert world.client.get(cut[0], headers={"Range": "bytes=0-1", "If-Range": tag}).status_code == 206
    assert world.client.get(cut[0], headers={"Range": "bytes=0-1", "If-Range": '"other"'}).status_code == 200


def test_empty_log_is_an_empty_file(world: World):
    answer = world.client.get(f"{TRAINING}/{world.start()}/logs/download")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_head_of_a_download_has_no_body(world: World, cut: tuple[str, bytes]):
    answer = world.client.ask("HEAD", cut[0])
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(len(cut[1])))
