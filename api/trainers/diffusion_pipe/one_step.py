"""Exports by the trainer itself: the request with which it resumes, saves a model after one step, and ends."""

from dataclasses import replace
from typing import Any

from api.domain.training import TrainingRequest
from api.errors import ExportUnsupported
from api.trainers.diffusion_pipe import config_files
from api.trainers.toml_edit import edit

#: Keys of the configuration that such a run does not take over, and their beginnings.
_LEFT_OUT = ("monitoring", "resume_from_checkpoint")
_LEFT_OUT_GROUPS = ("save_every_n_", "checkpoint_every_n_", "eval_")


def one_step(request: TrainingRequest, step: int) -> TrainingRequest:
    """Return the request of a training that saves a model at this step and ends. Raise ExportUnsupported."""
    try:
        config, _ = config_files.read_checked(request)
    except ValueError:
        raise ExportUnsupported("The configuration of this training can no longer be read.") from None
    own: dict[str, Any] = {"save_every_n_steps": 1, "max_steps": step, "steps_per_print": 1}
    left_out = [name for name in config.values if name in _LEFT_OUT or name.startswith(_LEFT_OUT_GROUPS)]
    if request.config_toml is None:
        kept = {name: value for name, value in config.values.items() if name not in left_out}
        return replace(request, config=kept | own)
    removed = [name for name in left_out if name not in own]
    edited = edit(request.config_toml, {(name,): value for name, value in own.items()}, removed)
    if edited is None:
        raise ExportUnsupported(
            "The service cannot change save_every_n_steps and max_steps in this training's text. Resume the training "
            "with a simpler text, then export the checkpoint again."
        )
    return replace(request, config_toml=edited)
