"""Trackio. Its library reads TRACKIO_SPACE_ID, TRACKIO_DIR and HF_TOKEN itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio


class TrackioRun:
    """A run, whose name is the id of the training."""

    rows: int | None = None

    def __init__(self, project: str, task_id: str, config: Mapping[str, Any]) -> None:
        self._given = {"project": project, "name": task_id, "config": dict(config)}

    def log(self, rows: Sequence[tuple[int, float, Mapping[str, float]]]) -> None:
        """Write rows with their steps."""
        if rows:
            run = self._open()
            for step, _, values in rows:
                run.log(dict(values), step=step)
            run.finish()

    def add_picture(self, name: str, path: str, caption: str, is_clip: bool) -> None:
        """Add a picture or clip."""
        run = self._open()
        run.log({name: (trackio.Video if is_clip else trackio.Image)(path, caption=caption)})
        run.finish()

    def end(self, status: str) -> None:
        """Store the status, for which Trackio has no field of its own."""
        run = self._open()
        run.log({"status": status})
        run.finish()

    def _open(self) -> Any:
        # Values wait in memory until a run finishes, so that each call has its own.
        return trackio.init(**self._given, resume="allow", embed=False)


class TrackioBackend:
    """Runs of one project."""

    def __init__(self, project: str, directory: Path) -> None:
        self._project = project

    def open(self, task_id: str, name: str, config: Mapping[str, Any], tags: Sequence[str]) -> TrackioRun:
        """Return the run."""
        return TrackioRun(self._project, task_id, {**config, "name": name, "tags": ", ".join(tags)})
