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


def test_range_over_several_segments_can_be_requested(world: World, cut: tuple[str, bytes]):
    answer = world.client.get(cut[0], headers={"Range": "bytes=500-2500"})
    assert (answer.status_code, answer.content) == (206, cut[1][500:2501])
    assert answer.headers["content-range"] == f"bytes 500-2500/{len(cut[1])}"


def test_empty_log_is_an_empty_file(world: World):
    answer = world.client.get(f"{TRAINING}/{world.start()}/logs/download")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
