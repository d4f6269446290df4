"""A client of Diffusion-Pipe API: `Client`, and `AsyncClient` with the same methods."""

from dpipe.aio import AsyncClient, AsyncDataset, AsyncTraining
from dpipe.client import Client, Dataset, Training
from dpipe.errors import (
    BadAnswer,
    Conflict,
    DpipeError,
    Forbidden,
    Insufficient,
    Invalid,
    NotFound,
    RateLimited,
    ServerError,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from dpipe.streams import Event
from dpipe.version import VERSION

__version__ = VERSION

__all__ = [
    "AsyncClient", "AsyncDataset", "AsyncTraining", "BadAnswer", "Client", "Conflict", "Dataset", "DpipeError", "Event",
    "Forbidden", "Insufficient", "Invalid", "NotFound", "RateLimited", "ServerError", "TimedOut", "Training",
    "Unauthorized", "Unreachable", "__version__",
]  # fmt: skip
