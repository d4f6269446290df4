"""Weights & Biases. Its library reads WANDB_API_KEY, WANDB_ENTITY, WANDB_BASE_URL and WANDB_MODE itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

#: Seconds that a server may take to answer when a run is opened.
_OPEN_SECONDS = 30

#: The exit codes by which W&B shows a run as finished, failed or killed.
_EXIT_CODES = {"completed": 0, "failed": 1, "stopped": 255}


class WandbRun:
    """A run, whose id is that of the training."""

    def __init__(self, run: Any) -> None:
        self._run = run
        # Rows of a resumed training repeat steps, and others arrive late, which W&B refuses for its own step.
        run.define_metric("*", step_metric="step")

    @property
    def rows(self) -> int | None:
        """The number of rows: what the server had when it was opened, and those since then."""
        found: int = self._run.step
        return found

    def log(self, rows: Sequence[tuple[int, float, Mapping[str, float]]]) -> None:
        """Write rows with their own step."""
        for step, at, values in rows:
            self._run.log({**values, "step": step, "_timestamp": at})

    def add_picture(self, name: str, path: str, caption: str, is_clip: bool) -> None:
        """Add a picture or clip, which counts as a row."""
        media = wandb.Video(path, caption=caption, format=Path(path).suffix[1:]) if is_clip else None
        self._run.log({name: media or wandb.Image(path, caption=caption)})

    def end(self, status: str) -> None:
        """Wait until the server has everything."""
        self._run.finish(exit_code=_EXIT_CODES.get(status, 1))


class WandbBackend:
    """Runs of one project."""

    def __init__(self, project: str, directory: Path) -> None:
        self._project = project
        self._directory = directory

    def open(self, task_id: str, name: str, config: Mapping[str, Any], tags: Sequence[str]) -> WandbRun:
        """Create or resume a run."""
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
        )
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
        return WandbRun(run)
