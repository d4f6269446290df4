"""Changes in a directory wake its watchers."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from asyncinotify import Inotify

from api.logs import watcher as log_watcher
from api.logs.watcher import LogWatcher


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_watcher, "GATHER_SECONDS", 0.001)


def with_watcher(work: Callable[[LogWatcher], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        await asyncio.wait_for(work(LogWatcher()), 20)

    asyncio.run(go())


def test_new_file_and_new_content_wake_the_watcher(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        woken = asyncio.Event()
        assert watcher.watch(tmp_path, woken.set)
        for change in ((tmp_path / "log").touch, lambda: (tmp_path / "log").write_text("more")):
            change()
            await woken.wait()
            await asyncio.sleep(0.01)
            woken.clear()
        watcher.unwatch(tmp_path, woken.set)

    with_watcher(go)


def test_each_directory_wakes_only_its_current_watchers(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        here, there, removed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for name in ("here", "there"):
            (tmp_path / name).mkdir()
        watcher.watch(tmp_path / "there", there.set)
        watcher.watch(tmp_path / "here", removed.set)
        watcher.watch(tmp_path / "here", here.set)
        watcher.unwatch(tmp_path / "here", removed.set)
        (tmp_path / "here" / "log").write_text("x")
        await here.wait()
        assert (there.is_set(), removed.is_set()) == (False, False)
        watcher.unwatch(tmp_path / "here", here.set)
        watcher.unwatch(tmp_path / "there", there.set)

    with_watcher(go)


def test_inotify_is_not_used_without_watchers(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        watcher.watch(tmp_path, print)
        assert watcher._inotify is not None
        watcher.unwatch(tmp_path, print)
        assert watcher._inotify is None

    with_watcher(go)


def test_missing_directory_must_be_polled(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        assert not watcher.watch(tmp_path / "nothing", print)
        watcher.unwatch(tmp_path / "nothing", print)

    with_watcher(go)


def test_exhausted_inotify_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def go(watcher: LogWatcher) -> None:
        monkeypatch.setattr(Inotify, "add_watch", refuse)
        assert [watcher.watch(tmp_path, print) for _ in range(3)] == [False] * 3
        watcher.unwatch(tmp_path, print)

    with_watcher(go)
    assert len(caplog.records) == 1
