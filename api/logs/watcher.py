"""Watch directories for changes, by inotify in the event loop."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from api.files.disk import is_on_network

logger = logging.getLogger(__name__)

#: Seconds between two reads of the kernel's events; equal events in between are merged.
GATHER_SECONDS = 0.02
GATHERED_EVENTS = 256  #: maximum number of events that are read at a time, within 2 ms

_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR

Wake = Callable[[], None]


class LogWatcher:
    """Watches directories that have followers.

    Everything except `reports_all_changes` must be called in one event loop.
    """

    def __init__(self, is_shared: Callable[[Path], bool] = is_on_network) -> None:
        """Create the watcher.

        `is_shared` returns whether other machines write to a directory, too. It may block on a file server.
        """
        self._is_shared = is_shared
        self._inotify: Inotify | None = None
        self._listening: asyncio.Task[None] | None = None
        self._has_warned = False
        self._wakes: dict[Path, set[Wake]] = {}
        self._watches: dict[Path, Watch] = {}

    def reports_all_changes(self, directory: Path) -> bool:
        """Return whether the kernel reports every change in a directory.

        It does not report writes by other machines. Watching their directory would block the event loop while the file
        server is unreachable. Must not be called in that loop.
        """
        return not self._is_shared(directory)

    def watch(self, directory: Path, wake: Wake) -> bool:
        """Call `wake` whenever a file in the directory changes. Return False if the caller must poll instead."""
        try:
            if self._inotify is None:
                self._inotify = self._begin()
            if directory not in self._watches:
                self._watches[directory] = self._inotify.add_watch(directory, _CHANGES)
        except FileNotFoundError:
            return False
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "logs cannot be watched by inotify: they are polled instead", extra={"problem": str(error)}
                )
            return False
        self._wakes.setdefault(directory, set()).add(wake)
        return True

    def _begin(self) -> Inotify:
        inotify = Inotify()
        self._listening = asyncio.create_task(self._listen(inotify))
        # Closed only after the task has ended, since that removes the descriptor from the loop.
        self._listening.add_done_callback(lambda _: inotify.close())
        return inotify

    def unwatch(self, directory: Path, wake: Wake) -> None:
        """Stop calling `wake` for this directory."""
        wakes = self._wakes.get(directory, set())
        wakes.discard(wake)
        if wakes:
            return
        self._wakes.pop(directory, None)
        watch = self._watches.pop(directory, None)
        if watch is not None and self._inotify is not None:
            # The kernel has already removed the watch of a deleted directory.
            with suppress(OSError, KeyError, ValueError):
                self._inotify.rm_watch(watch)
        if not self._wakes:
            if self._listening is not None:
                self._listening.cancel()
            self._inotify = self._listening = None

    async def _listen(self, inotify: Inotify) -> None:
        inotify.sync_timeout = 0
        while True:
            self._wake_followers(await inotify.get())
            for _ in range(GATHERED_EVENTS):
                event = inotify.sync_get()
                if event is None:
                    break
                self._wake_followers(event)
            await asyncio.sleep(GATHER_SECONDS)

    def _wake_followers(self, event: Event) -> None:
        if event.watch is None:
            # The kernel's queue was full: anything may have changed.
            woken = [wake for wakes in self._wakes.values() for wake in wakes]
        else:
            woken = list(self._wakes.get(Path(event.watch.path), ()))
        for wake in woken:
            wake()
