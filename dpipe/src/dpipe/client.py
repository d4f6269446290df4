"""The client. `AsyncClient` has the same methods, as coroutines and asynchronous iterators."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from dpipe import aio
from dpipe import types as t
from dpipe.aio import RESOLUTIONS, AsyncClient, Prompts, Source
from dpipe.connections import BlockingConnection, iterate, run
from dpipe.requests import DatasetFacts, Task
from dpipe.streams import Event, Message
from dpipe.uploads import Progress

Row = TypeVar("Row")


class _Blocking(AsyncClient):
    """The asynchronous client over connections that block."""

    _connect = BlockingConnection


class Client:
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
        self._client = _Blocking(url, key, timeout=timeout, retries=retries, agent=agent)
        self.url = self._client.url
        self.trainings = Trainings(self._client.trainings)
        self.datasets = Datasets(self._client.datasets)
        self.models = Rows(self._client.models)
        self.sample_sets = Rows(self._client.sample_sets)
        self.sweeps = Rows(self._client.sweeps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        run(self._client.close())

    def get(self, path: str, **query: Any) -> Any:
        """Return the data of a GET. The path is below /api/v1."""
        return run(self._client.get(path, **query))

    def post(self, path: str, json: Any = None, *, idempotency_key: str | None = None, **query: Any) -> Any:
        """Return the data of a POST. A random Idempotency-Key makes retries safe."""
        return run(self._client.post(path, json, idempotency_key=idempotency_key, **query))

    def patch(self, path: str, json: Any) -> Any:
        """Return the data of a PATCH."""
        return run(self._client.patch(path, json))

    def put(self, path: str, json: Any) -> Any:
        """Return the data of a PUT."""
        return run(self._client.put(path, json))

    def delete(self, path: str, **query: Any) -> Any:
        """Return the data of a DELETE."""
        return run(self._client.delete(path, **query))

    def read(self, path: str, **query: Any) -> bytes:
        """Return the bytes of a file, such as a picture."""
        return run(self._client.read(path, **query))

    def save(self, path: str, to: Path, progress: Progress | None = None) -> Path:
        """Download a file to a path, and continue where an interrupted download ended."""
        return run(self._client.save(path, to, progress))

    def pages(self, path: str, field: str, *, limit: int | None = None, **query: Any) -> Iterator[Any]:
        """Yield the rows of a list, at most `limit`, and fetch its pages as needed."""
        return iterate(self._client.pages(path, field, limit=limit, **query))

    def stream(self, path: str, **query: Any) -> Iterator[Message]:
        """Yield the messages of a stream until its end; reconnect where it is cut, without gaps."""
        return iterate(self._client.stream(path, **query))

    def health(self) -> t.Health:
        """Return the state and the version of the server."""
        return run(self._client.health())

    def overview(self) -> t.SystemOverview:
        """Return the machine, its GPUs and tasks in figures."""
        return run(self._client.overview())

    def gpus(self) -> list[t.GPUInfo]:
        """Return all GPUs with their latest readings."""
        return run(self._client.gpus())

    def gpu(self, id: int | str) -> t.GPUDetails:  # noqa: A002
        """Return one GPU by index or UUID with all details."""
        return run(self._client.gpu(id))


class Rows(Generic[Row]):
    """A list of the service that can be iterated."""

    def __init__(self, rows: aio.AsyncRows[Row]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return self.list()

    def list(self, **filters: Any) -> Iterator[Row]:
        """Yield the rows to which the filters apply."""
        return iterate(self._rows.list(**filters))

    def get(self, id: str) -> Row:  # noqa: A002
        """Return one row. Raise NotFound."""
        return run(self._rows.get(id))


class Trainings:
    """The trainings that the key may see, newest first."""

    def __init__(self, trainings: aio.AsyncTrainings) -> None:
        self._trainings = trainings

    def __iter__(self) -> "Iterator[Training]":
        return self.list()

    def list(self, **filters: Any) -> "Iterator[Training]":
        """Yield trainings by `status`, `model_type`, `gpu_id`, `search`, `tag`, `owner`, `sweep`, `kind` or `order`."""
        return map(Training, iterate(self._trainings.list(**filters)))

    def get(self, id: str) -> "Training":  # noqa: A002
        """Return a training. Raise NotFound."""
        return Training(run(self._trainings.get(id)))

    def start(
        self,
        config: Source = None,
        dataset: Source = None,
        *,
        model_type: str | None = None,
        gpus: int | Sequence[int | str] | None = None,
        name: str | None = None,
        samples: Mapping[str, Any] | None = None,
        resolutions: Sequence[int] = RESOLUTIONS,
        wait: bool = False,
        **options: Any,
    ) -> "Training":
        """Start a training. `wait` returns it when it has ended.

        `config` and `dataset` are TOML files on this machine, TOML texts or JSON. `dataset` may also name one of the
        service, such as "cats" or "cats@3", which is trained with `resolutions`. `gpus` is a number, or indexes and
        UUIDs. `options` are further fields of the request.
        """
        given = {"model_type": model_type, "gpus": gpus, "name": name, "samples": samples, **options}
        return Training(run(self._trainings.start(config, dataset, resolutions=resolutions, wait=wait, **given)))

    def validate(
        self, config: Source = None, dataset: Source = None, *, resolutions: Sequence[int] = RESOLUTIONS, **options: Any
    ) -> t.Validation:
        """Return all findings about the request of a `start`, and its plan. Nothing is started."""
        return run(self._trainings.validate(config, dataset, resolutions=resolutions, **options))

    plan = validate

    def compare(
        self, ids: Sequence[str], metric: str = "loss", axis: str = "step", **query: Any
    ) -> t.ComparedTrainings:
        """Return two to eight trainings side by side: series, settings that differ, and common prompts."""
        return run(self._trainings.compare(ids, metric, axis, **query))


class Training(Task):
    """A training, or another task with the same methods: an export, samples, a rehearsal."""

    def __init__(self, task: aio.AsyncTraining) -> None:
        super().__init__(task.data)
        self._task = task

    def refresh(self) -> Self:
        """Read it again."""
        run(self._task.refresh())
        return self

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended, also while the server restarts. Raise TimedOut."""
        run(self._task.wait(timeout))
        return self

    def follow(self, tail: int = 100, types: str = "log,progress,status") -> Iterator[Event]:
        """Yield lines of the log from the last `tail` on, progress and changes of status, until it has ended."""
        return iterate(self._task.follow(tail, types))

    def progress(self) -> t.TaskProgressView:
        """Return stage, epoch, step, speed and the latest metrics."""
        return run(self._task.progress())

    def metrics(self, metric: str = "loss", **query: Any) -> t.SeriesView:
        """Return a metric over steps, or with `type="epoch"` over epochs."""
        return run(self._task.metrics(metric, **query))

    def logs(self, search: str | None = None, *, tail: int | None = None, **query: Any) -> Iterator[t.LogLine]:
        """Yield the lines of its log, the last `tail` lines, or those that contain `search`."""
        return iterate(self._task.logs(search, tail=tail, **query))

    def stop(self, save: bool = True, keep_lora: bool = False, wait: bool = False) -> Self:
        """Stop it, by default with a checkpoint. `keep_lora` makes a LoRA of that; `wait` returns after the end."""
        run(self._task.stop(save, keep_lora, wait))
        return self

    def resume(self, **changes: Any) -> Self:
        """Resume it from its last complete checkpoint, or another `checkpoint`, with changed fields of its request."""
        run(self._task.resume(**changes))
        return self

    def samples(self, **query: Any) -> Iterator[t.TrainingSample]:
        """Yield its samples, newest first, by `checkpoint` and `prompt`. `client.read(sample["url"])` is a picture."""
        return iterate(self._task.samples(**query))

    def sample(self, checkpoints: Sequence[str] | None, sample_set: Prompts, **options: Any) -> "Training":
        """Render a sample set, by name, or prompts with saved models (None: the latest), and return that task."""
        return Training(run(self._task.sample(checkpoints, sample_set, **options)))

    def export(self, checkpoint: str | None = None, method: str | None = None) -> "Training":
        """Make a LoRA of a checkpoint and return that task, or this one if the LoRA exists already."""
        return Training(run(self._task.export(checkpoint, method)))

    def checkpoints(self) -> list[t.Checkpoint]:
        """Return its checkpoints, oldest first."""
        return run(self._task.checkpoints())

    def files(self, **query: Any) -> Iterator[t.Artifact]:
        """Yield the files that it made."""
        return iterate(self._task.files(**query))

    def download(self, file: str | None = None, to: Path | str = ".", progress: Progress | None = None) -> Path:
        """Download a file by its path, by default the chosen or newest saved model, into a directory or to a path."""
        return run(self._task.download(file, to, progress))


class Dataset(DatasetFacts):
    """A dataset of the service."""

    def __init__(self, dataset: aio.AsyncDataset) -> None:
        super().__init__(dataset.data)
        self._dataset = dataset

    def items(self, **query: Any) -> Iterator[t.ItemView]:
        """Yield its pictures and videos."""
        return iterate(self._dataset.items(**query))


class Datasets:
    """The datasets that the key may see."""

    def __init__(self, datasets: aio.AsyncDatasets) -> None:
        self._datasets = datasets

    def __iter__(self) -> Iterator[Dataset]:
        return self.list()

    def list(self, **filters: Any) -> Iterator[Dataset]:
        """Yield datasets by `search`, `tag` or `owner`."""
        return map(Dataset, iterate(self._datasets.list(**filters)))

    def get(self, name: str) -> Dataset:
        """Return a dataset. Raise NotFound."""
        return Dataset(run(self._datasets.get(name)))

    def upload(self, folder: Path | str, name: str | None = None, progress: Progress | None = None) -> Dataset:
        """Upload a folder, archive or file, and return its dataset when it contains them.

        The name is by default that of the folder. An existing dataset gets a new version. An interrupted upload of the
        same folder is continued, also by another program. `progress` is called with the sent bytes and their total.
        """
        return Dataset(run(self._datasets.upload(folder, name, progress)))
