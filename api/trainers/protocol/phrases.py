"""The phrases and line formats that trainers of diffusion-pipe's kind print."""

import re

#: Phrases that fill a line: the trainer has saved its last checkpoint and ends.
COMPLETED = "TRAINING COMPLETE!"
STOPPED = "Manually quitting"

#: The highest step or epoch that is accepted.
LARGEST_COUNT = 10**9

STEP_PREFIX = "steps: "
STEP_BEGINNING = re.compile(r"steps: \d")
STEP = re.compile(
    r"steps: (\d{1,10}) loss: (\S{1,40})(?: iter time \(s\): (\S{1,40}))?(?: samples/sec: (\S{1,40}))?", re.ASCII
)

#: Part of a line that DeepSpeed logs for a step; such a line always has the step's number.
LOGGED_STEP_PART = "] step="
LOGGED_STEP = re.compile(r"\] step=(\d{1,10}),", re.ASCII)
LEARNING_RATE = re.compile(r"\] step=(\d{1,10}), skipped=\d{1,10}, lr=\[?([0-9.eE+-]{1,32})", re.ASCII)

NEW_EPOCH = re.compile(r"Started new epoch: (\d{1,10})", re.ASCII)
RESUMING = re.compile(r"Resuming training from checkpoint\. Resuming at epoch: (\d{1,10}), step: (\d{1,10})", re.ASCII)
EVALUATING = "Running eval"

SAVING_MODEL = "Saving model to directory "
SAVING_CHECKPOINT = "is about to be saved!"

CACHING = "caching "
CACHING_LOGGED = "[CACHE] "
BATCH_SIZE_BEGINNING = "Global batch size = "
BATCH_SIZE = re.compile(r"Global batch size = (\d{1,10})", re.ASCII)

#: Starts of lines about data that the trainer leaves out or changes.
DATA_WARNINGS = ("video with frames=", "size bucket ", "Cound not find caption", "Media file ")

#: A file that the trainer leaves out: its path, and the error.
LOST_FILE = re.compile(r"Media file (.{1,1000}?) could not be opened\. Skipping\.(?: The exception was: )?(.*)")


def is_not_finite(loss: str) -> bool:
    """Return whether a loss as printed is NaN or infinity."""
    return loss.lower().lstrip("+-") in ("nan", "inf")
