"""Weights & Biases. Its library reads WANDB_API_KEY, WANDB_ENTITY, WANDB_BASE_URL and WANDB_MODE itself."""

import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from api.jobs.errors import LibraryFailed, RunDeleted

#: Seconds that a server may take to answer when a run is opened, and when it is asked whether it is there.
_OPEN_SECONDS, _ASK_SECONDS = 30, 10

#: Seconds between two such questions. The library itself would wait for days, without an error.
_ASK_INTERVAL = 60.0

#: The exit codes by which W&B shows a run as finished, failed or killed.
_EXIT_CODES = {"completed": 0, "failed": 1, "stopped": 255}

#: What the library prints when the server refuses rows. It discards all later ones, without an error.
_REFUSAL = "Some run data will not be synced"

#: What the server answers when a run is opened that was deleted. It can be restored for some days.
_DELETION = "previously created and deleted"


class WandbRun:
    """A run, whose id is that of the training."""

    def __init__(self, run: Any, backend: "WandbBackend") -> None:
        self._run = run
        self._backend = backend
        # Rows of a resumed training repeat steps, and others arrive late, which W&B refuses for its own step.
        run.define_metric("*", step_metric="step")

    @property
    def rows(self) -> int | None:
        """The number of rows: what the server had when it was opened, and those since then."""
        # The step is 0 until something is logged.
        found: int = max(self._run.starting_step, self._run.step)
        return found

    def log(self, rows: Sequence[tuple[int, float, Mapping[str, float]]]) -> None:
        """Write rows with their own step."""
        self._require_server()
        for step, at, values in rows:
            self._run.log({**values, "step": step, "_timestamp": at})

    def add_picture(self, name: str, path: str, caption: str, is_clip: bool) -> None:
        """Add a picture or clip, which counts as a row."""
        self._require_server()
        media = wandb.Video(path, caption=caption, format=Path(path).suffix[1:]) if is_clip else None
        self._run.log({name: media or wandb.Image(path, caption=caption)})

    def end(self, status: str) -> None:
        """Wait until the server has everything."""
        self._require_server()
        self._run.finish(exit_code=_EXIT_CODES.get(status, 1))
        self._backend.require_upload()

    def _require_server(self) -> None:
        self._backend.require_upload()
        if not self._run.offline:
            self._backend.require_server()


class _Printed(io.TextIOBase):
    """Standard error, where alone the library reports that the server refuses rows."""

    has_refusal = False

    def write(self, text: str) -> int:
        self.has_refusal = self.has_refusal or _REFUSAL in text
        return len(text)


class WandbBackend:
    """Runs of one project."""

    def __init__(self, project: str, directory: Path) -> None:
        self._project = project
        self._directory = directory
        self._answered_at = float("-inf")
        self._printed = sys.stderr = _Printed()

    def require_upload(self) -> None:
        """Raise LibraryFailed if the server has refused rows."""
        if self._printed.has_refusal:
            raise LibraryFailed("the server refuses data: check WANDB_API_KEY, and whether the run was deleted")

    def require_server(self) -> None:
        """Ask the server now and then. Raise ConnectionError if it does not answer, or refuses the key."""
        if time.monotonic() - self._answered_at > _ASK_INTERVAL:
            try:
                wandb.Api(timeout=_ASK_SECONDS)  # verifies the key
            except wandb.Error as error:
                raise ConnectionError(f"the server does not answer, or refuses WANDB_API_KEY: {error}") from None
            self._answered_at = time.monotonic()

    def open(self, task_id: str, name: str, config: Mapping[str, Any], tags: Sequence[str]) -> WandbRun:
        """Create or resume a run. Raise ConnectionError or LibraryFailed."""
        if os.environ.get("WANDB_MODE", "online") == "online":  # noqa: TID251 - its own environment is the library's
            self.require_server()
        settings = wandb.Settings(
            init_timeout=_OPEN_SECONDS,
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        try:
            run = wandb.init(
                project=self._project,
                id=task_id,
                name=name,
                config=dict(config),
                tags=[tag[:64] for tag in tags],
                dir=self._directory,
                resume="allow",
                reinit="create_new",
                settings=settings,
            )
        except wandb.Error as error:
            # The library would refuse to open this run again, because it counts as in use.
            failure = RunDeleted if _DELETION in str(error) else LibraryFailed
            raise failure(str(error)) from None
        return WandbRun(run, self)
