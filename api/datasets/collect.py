"""Collects what nobody needs any more: stored files, rows of items, and directories that nobody looks into."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from api.datasets.hold_store import DatasetHolds
from api.datasets.item_store import DatasetItemStore
from api.errors import DatabaseUnavailable
from api.files.blobs import BlobStore, Sweep
from api.files.thumbnails import ThumbnailStore
from api.util.clock import Clock
from api.util.foreign_trees import remove_tree
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two passes.
LOOK_SECONDS = 900.0

#: Seconds for which a stored file that nothing needs stays, and then stays in the trash.
KEPT_SECONDS = 3600.0

#: How long a version can be restored that a later edit of the same person took the place of.
SUPERSEDED = timedelta(hours=1)

#: How long rows of items, and views, stay that nobody has asked for.
UNUSED = timedelta(days=2)


class DatasetCollector:
    """One pass after the other. A pass that is killed at any point is made good by the next."""

    def __init__(
        self,
        blobs: BlobStore,
        holds: DatasetHolds,
        items: DatasetItemStore,
        views: Path,
        thumbnails: ThumbnailStore,
        clock: Clock,
        collect_caches: Callable[[], int] = lambda: 0,
    ) -> None:
        """`collect_caches` removes the caches of datasets that are gone: they keep the files of these."""
        self._collect_caches = collect_caches
        self._blobs = blobs
        self._holds = holds
        self._items = items
        self._views = views
        self._thumbnails = thumbnails
        self._clock = clock
        self._thread = PeriodicThread("dataset-collector", LOOK_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread; a pass over a file system that hangs is left behind."""
        self._thread.stop(timeout=0.5)

    def run_once(self) -> None:
        """One pass; while the database or the disk does not answer nothing is removed."""
        try:
            self.collect(KEPT_SECONDS)
        except DatabaseUnavailable as error:
            logger.debug("datasets cannot be collected", extra={"problem": error.detail})
        except OSError as error:
            logger.warning("datasets cannot be collected", extra={"problem": str(error)})

    def collect(self, kept_seconds: float) -> Sweep:
        """Removes what nobody has needed for so long. Raises DatabaseUnavailable, OSError."""
        if not self._holds.belongs_with(self._blobs.identity()):
            # Whatever lies there another database knows of.
            logger.error(
                "DATASETS_ROOT belongs to another database: nothing in it is collected",
                extra={"directory": str(self._blobs.root)},
            )
            return Sweep()
        self._collect_caches()
        now = self._clock.steady.now()
        self._holds.purge(now)
        self._holds.remove_superseded(self._clock.steady.now() - SUPERSEDED)
        self._items.prune(now - UNUSED)
        self._remove_views(UNUSED.total_seconds())
        # Those of registered directories, whose files nothing holds, are made anew after that time.
        self._thumbnails.sweep(self._holds.needed, UNUSED.total_seconds())
        done = self._blobs.sweep(self._holds.needed, kept_seconds)
        if done.set_aside or done.restored or done.removed:
            told = {"set_aside": done.set_aside, "restored": done.restored, "removed": done.removed}
            logger.info("stored files collected", extra={**told, "bytes": done.removed_bytes})
        return done

    def _remove_views(self, seconds: float) -> None:
        """Removes views that nobody has looked into for so long, those of manifests that nothing needs any more, which
        would keep their files, and those that were half made by a killed process.
        """
        if not self._views.is_dir():
            return
        names = os.listdir(self._views)
        needed = self._holds.needed([name[:64] for name in names])
        for name in names:
            with suppress(OSError):
                # They are made again: one from a time that has not come yet goes, too.
                age = abs(time.time() - (self._views / name).lstat().st_mtime)
                is_half_made = name.startswith(".")
                if age >= seconds or (name[:64] not in needed and not is_half_made):
                    remove_tree(str(self._views / name), levels=1)
