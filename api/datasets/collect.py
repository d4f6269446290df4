"""Garbage collection: stored files, rows of items and directories that nothing uses any more."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.item_store import DatasetItemStore
from api.errors import DatabaseUnavailable
from api.files.blobs import BlobStore, Sweep
from api.files.thumbnail_files import ThumbnailStore
from api.util.clock import Clock
from api.util.files.foreign_trees import remove_tree
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two passes.
CHECK_SECONDS = 900.0

#: Seconds for which an unneeded file stays in the store, and then for the same time in the trash.
RETENTION_SECONDS = 3600.0

#: How long a version that was superseded by a later edit of the same user can be restored.
SUPERSEDED = timedelta(hours=1)

#: How long unused rows of items and views stay.
UNUSED = timedelta(days=2)


class DatasetCollector(LoopOwner):
    """Removes unused data in passes. After a kill, the next pass completes the work."""

    _stop_seconds = 0.5

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
        """Create the collector. `collect_caches` removes the caches of deleted datasets, which hold their files."""
        self._collect_caches = collect_caches
        self._blobs = blobs
        self._holds = holds
        self._items = items
        self._views = views
        self._thumbnails = thumbnails
        self._clock = clock
        self._thread = PeriodicThread("dataset-collector", CHECK_SECONDS, self.run_once)

    def run_once(self) -> None:
        """Run one pass; nothing is removed while the database or the disk is unavailable."""
        try:
            self.collect(RETENTION_SECONDS)
        except DatabaseUnavailable as error:
            logger.debug("unused dataset files cannot be removed", extra={"problem": error.detail})
        except OSError as error:
            logger.warning("unused dataset files cannot be removed", extra={"problem": str(error)})

    def collect(self, retention_seconds: float) -> Sweep:
        """Remove what has been unused for this time. Raises DatabaseUnavailable, OSError."""
        if not self._holds.belongs_with(self._blobs.identity()):
            # Another database refers to these files.
            logger.error(
                "DATASETS_ROOT belongs to another database: nothing in it is removed",
                extra={"directory": str(self._blobs.root)},
            )
            return Sweep()
        self._collect_caches()
        now = self._clock.steady.now()
        self._holds.purge(now)
        self._holds.remove_superseded(self._clock.steady.now() - SUPERSEDED)
        self._items.prune(now - UNUSED)
        self._remove_views(UNUSED.total_seconds())
        # Nothing holds the thumbnails of registered directories; they are made again after that time.
        self._thumbnails.sweep(self._holds.needed, UNUSED.total_seconds())
        done = self._blobs.sweep(self._holds.needed, retention_seconds)
        if done.set_aside or done.restored or done.removed:
            counts = {"set_aside": done.set_aside, "restored": done.restored, "removed": done.removed}
            logger.info("unused stored files removed", extra={**counts, "bytes": done.removed_bytes})
        return done

    def _remove_views(self, seconds: float) -> None:
        """Remove views that are not needed.

        These are views that are unused for this time, views of manifests that nothing needs (such a view would hold
        the files), and incomplete views that a killed process left.
        """
        if not self._views.is_dir():
            return
        names = os.listdir(self._views)
        needed = self._holds.needed([name[:64] for name in names])
        for name in names:
            with suppress(OSError):
                # Views are made again when needed, so one with a time in the future is removed, too.
                age = abs(time.time() - (self._views / name).lstat().st_mtime)
                is_half_made = name.startswith(".")
                if age >= seconds or (name[:64] not in needed and not is_half_made):
                    remove_tree(str(self._views / name), levels=1)
