"""Changes in a directory wake those who watch it."""

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


def test_who_watches_is_woken_by_a_new_file_and_by_more_in_it(tmp_path: Path):
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


def test_each_directory_wakes_its_own_and_nobody_who_has_gone(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        here, there, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for name in ("here", "there"):
            (tmp_path / name).mkdir()
        watcher.watch(tmp_path / "there", there.set)
        watcher.watch(tmp_path / "here", gone.set)
        watcher.watch(tmp_path / "here", here.set)
        watcher.unwatch(tmp_path / "here", gone.set)
        (tmp_path / "here" / "log").write_text("x")
        await here.wait()
        assert (there.is_set(), gone.is_set()) == (False, False)
        watcher.unwatch(tmp_path / "here", here.set)
        watcher.unwatch(tmp_path / "there", there.set)

    with_watcher(go)


def test_the_kernel_is_asked_for_nothing_while_nobody_watches(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        watcher.watch(tmp_path, print)
        assert watcher._inotify is not None
        watcher.unwatch(tmp_path, print)
        assert watcher._inotify is None

    with_watcher(go)


def test_a_directory_that_is_not_there_is_looked_at_by_the_caller(tmp_path: Path):
    async def go(watcher: LogWatcher) -> None:
        assert not watcher.watch(tmp_path / "nothing", print)
        watcher.unwatch(tmp_path / "nothing", print)

    with_watcher(go)


def test_a_kernel_that_watches_nothing_more_is_told_of_once(
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
