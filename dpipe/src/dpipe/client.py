"""The client: the methods of `AsyncClient`, which is where they are described, as blocking calls."""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx

from dpipe.aio import AsyncClient, AsyncDataset, AsyncDatasets, AsyncTraining, AsyncTrainings
from dpipe.connections import iterate, run
from dpipe.requests import DatasetFacts, Task
from dpipe.uploads import Progress

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class _Blocking(Generic[A]):
    """The blocking form of an object."""

    def __init__(self, inner: A) -> None:
        self._inner = inner


def _call(method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[_Blocking[A], P], T]:
    """Return the blocking form of a coroutine method."""

    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(method(self._inner, *args, **kwargs))

    return call


def _rows(method: Callable[Concatenate[A, P], AsyncIterator[T]]) -> Callable[Concatenate[_Blocking[A], P], Iterator[T]]:
    """Return the blocking form of an asynchronous generator."""

    @functools.wraps(method)
    def rows(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return iterate(method(self._inner, *args, **kwargs))

    return rows


def _training(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, AsyncTraining]],
) -> "Callable[Concatenate[_Blocking[A], P], Training]":
    """Return the blocking form of a method that returns a training."""

    @functools.wraps(method)
    def training(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> "Training":
        return Training(run(method(self._inner, *args, **kwargs)))

    return training


class _BlockingClient(AsyncClient):
    """The asynchronous client over connections that block."""

    _http = httpx.Client


class Client(_Blocking[AsyncClient]):
    """A connection to the service.

    Address and key are taken from the arguments, the environment (DPIPE_URL, DPIPE_KEY) or the file of `dpipe login`.
    Failures are DpipeErrors. Requests that fail for want of a connection, or that the server asks to repeat, are
    repeated up to `retries` times; an Idempotency-Key makes that safe. `agent` is shown to the server.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 30,
        retries: int = 3,
        agent: str | None = None,
    ) -> None:
        super().__init__(_BlockingClient(url, key, timeout=timeout, retries=retries, agent=agent))
        self.url = self._inner.url
        self.trainings = Trainings(self._inner.trainings)
        self.datasets = Datasets(self._inner.datasets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    close = _call(AsyncClient.close)
    get = _call(AsyncClient.get)
    post = _call(AsyncClient.post)
    send = _call(AsyncClient.send)
    read = _call(AsyncClient.read)
    save = _call(AsyncClient.save)
    pages = _rows(AsyncClient.pages)
    stream = _rows(AsyncClient.stream)
    gpus = _call(AsyncClient.gpus)


class Training(Task, _Blocking[AsyncTraining]):
    """A training, or another task with the same methods: an export, samples, a rehearsal."""

    def __init__(self, inner: AsyncTraining) -> None:
        Task.__init__(self, inner.data)
        _Blocking.__init__(self, inner)

    refresh = _training(AsyncTraining.refresh)
    wait = _training(AsyncTraining.wait)
    follow = _rows(AsyncTraining.follow)
    logs = _rows(AsyncTraining.logs)
    stop = _training(AsyncTraining.stop)
    resume = _training(AsyncTraining.resume)
    samples = _rows(AsyncTraining.samples)
    sample = _training(AsyncTraining.sample)
    export = _training(AsyncTraining.export)
    files = _rows(AsyncTraining.files)
    download = _call(AsyncTraining.download)


class Trainings(_Blocking[AsyncTrainings]):
    """The trainings that the key may see, newest first."""

    def __iter__(self) -> Iterator[Training]:
        return self.list()

    def list(self, **filters: Any) -> Iterator[Training]:
        """Yield trainings by the filters of `AsyncTrainings.list`."""
        return map(Training, iterate(self._inner.list(**filters)))

    get = _training(AsyncTrainings.get)
    start = _training(AsyncTrainings.start)
    plan = _call(AsyncTrainings.plan)
    compare = _call(AsyncTrainings.compare)


class Dataset(DatasetFacts, _Blocking[AsyncDataset]):
    """A dataset of the service."""

    def __init__(self, inner: AsyncDataset) -> None:
        DatasetFacts.__init__(self, inner.data)
        _Blocking.__init__(self, inner)

    items = _rows(AsyncDataset.items)


class Datasets(_Blocking[AsyncDatasets]):
    """The datasets that the key may see."""

    def __iter__(self) -> Iterator[Dataset]:
        return self.list()

    def list(self, **filters: Any) -> Iterator[Dataset]:
        """Yield datasets by the filters of `AsyncDatasets.list`."""
        return map(Dataset, iterate(self._inner.list(**filters)))

    def get(self, name: str) -> Dataset:
        """Return a dataset. Raise NotFound."""
        return Dataset(run(self._inner.get(name)))

    def upload(self, folder: Path | str, name: str | None = None, progress: Progress | None = None) -> Dataset:
        """Upload a folder, archive or file, as `AsyncDatasets.upload` does."""
        return Dataset(run(self._inner.upload(folder, name, progress)))
