"""Tells when files in a directory change, by inotify in the event loop."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from asyncinotify import Event, Inotify, Mask, Watch

from api.files.mounts import lies_on_network

logger = logging.getLogger(__name__)

#: Seconds between two reads of the kernel's events, which joins equal ones meanwhile.
GATHER_SECONDS = 0.02
GATHERED_EVENTS = 256  #: the most events taken at a time, in 2 ms

_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR

Wake = Callable[[], None]


class LogWatcher:
    """Watches directories while somebody wants to know. All but `hears_all` is called in one event loop."""

    def __init__(self, is_of_many: Callable[[Path], bool] = lies_on_network) -> None:
        """`is_of_many` tells whether other machines write there, too; it may wait for a file server."""
        self._is_of_many = is_of_many
        self._inotify: Inotify | None = None
        self._listening: asyncio.Task[None] | None = None
        self._has_complained = False
        self._wakes: dict[Path, set[Wake]] = {}
        self._watches: dict[Path, Watch] = {}

    def hears_all(self, directory: Path) -> bool:
        """Whether the kernel tells of every change there. Of what other machines write it tells nothing, and to ask it
        to watch would hold the event loop while their file server is away. Not to be called in that loop.
        """
        return not self._is_of_many(directory)

    def watch(self, directory: Path, wake: Wake) -> bool:
        """Calls `wake` whenever a file in the directory changes; False when it cannot, and the caller has to poll."""
        try:
            if self._inotify is None:
                self._inotify = self._begin()
            if directory not in self._watches:
                self._watches[directory] = self._inotify.add_watch(directory, _CHANGES)
        except FileNotFoundError:
            return False
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                logger.warning("logs cannot be watched: they are looked at instead", extra={"problem": str(error)})
            return False
        self._wakes.setdefault(directory, set()).add(wake)
        return True

    def _begin(self) -> Inotify:
        begun = Inotify()
        self._listening = asyncio.create_task(self._listen(begun))
        # Not before it has ended: it takes its descriptor out of the loop.
        self._listening.add_done_callback(lambda _: begun.close())
        return begun

    def unwatch(self, directory: Path, wake: Wake) -> None:
        """Stops calling `wake` for this directory."""
        wakes = self._wakes.get(directory, set())
        wakes.discard(wake)
        if wakes:
            return
        self._wakes.pop(directory, None)
        watch = self._watches.pop(directory, None)
        if watch is not None and self._inotify is not None:
            # The kernel has taken the watch of a directory that is gone.
            with suppress(OSError, KeyError, ValueError):
                self._inotify.rm_watch(watch)
        if not self._wakes:
            self._close()

    def _close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self._inotify = self._listening = None

    async def _listen(self, inotify: Inotify) -> None:
        inotify.sync_timeout = 0
        while True:
            self._tell(await inotify.get())
            for _ in range(GATHERED_EVENTS):
                event = inotify.sync_get()
                if event is None:
                    break
                self._tell(event)
            await asyncio.sleep(GATHER_SECONDS)

    def _tell(self, event: Event) -> None:
        if event.watch is None:
            # The kernel's queue was full: anything may have changed.
            woken = [wake for wakes in self._wakes.values() for wake in wakes]
        else:
            woken = list(self._wakes.get(Path(event.watch.path), ()))
        for wake in woken:
            wake()
