"""How far a trainer came, by the lines that it printed."""

import re
from collections.abc import Sequence
from enum import Enum

from api.trainers.protocol.phrases import (
    CACHING,
    CACHING_LOGGED,
    NEW_EPOCH,
    SAVING_CHECKPOINT,
    SAVING_MODEL,
    STEP_BEGINNING,
)


class TrainerStage(Enum):
    """How far the trainer has come."""

    CONNECTED = "connected"
    CACHING = "caching"
    LOADING = "loading"
    LOADED = "loaded"
    TRAINING = "training"
    SAVING = "saving"


#: The lines that the trainer prints in each stage.
_STAGE_LINES = (
    (TrainerStage.TRAINING, re.compile(rf"^(?:{STEP_BEGINNING.pattern}|{NEW_EPOCH.pattern})", re.ASCII)),
    (TrainerStage.SAVING, re.compile(rf"^{SAVING_MODEL}|{SAVING_CHECKPOINT}")),
    (TrainerStage.CACHING, re.compile(rf"^(?:{CACHING}|{re.escape(CACHING_LOGGED)})")),
    (TrainerStage.LOADED, re.compile(r"trainable params: |Block swap enabled|Global batch size = ")),
    (TrainerStage.LOADING, re.compile(r"Loading checkpoint shards|Loading adapter weights")),
    (TrainerStage.CONNECTED, re.compile(r"Initializing TorchBackend")),
)


def last_stage(lines: Sequence[str]) -> TrainerStage | None:
    """Return the last stage in these lines, or None if no line shows one."""
    return next((stage for line in reversed(lines) for stage, shown in _STAGE_LINES if shown.search(line)), None)
