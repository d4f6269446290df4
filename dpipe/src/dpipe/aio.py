"""The asynchronous client. `dpipe.client` has the same methods as blocking calls."""

import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Self, cast

import httpx

from dpipe import requests, settings, uploads
from dpipe import types as t
from dpipe.connections import Connection
from dpipe.errors import Conflict, Invalid, NotFound, ServerError, TimedOut, Unreachable, bad_answer, unreachable
from dpipe.requests import PAGE, address, data_of, failure_of, join, parameters, part, pause
from dpipe.streams import RECONNECT_SECONDS, SILENCE_SECONDS, Decoder, Event

#: What stands for the configuration or dataset of a training: a file, TOML text or a name, or JSON.
Source = Path | str | Mapping[str, Any] | None

#: The prompts of samples: a sample set by name, texts, or JSON.
Prompts = str | Sequence[str] | Mapping[str, Any]

#: The sizes at which a named dataset is trained.
RESOLUTIONS = (512,)


class AsyncClient:
    """A connection to the service, like `dpipe.Client`."""

    _http: type[httpx.AsyncClient | httpx.Client] = httpx.AsyncClient

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 30,
        retries: int = 3,
        agent: str | None = None,
    ) -> None:
        found = settings.load(url, key)
        self.url = found.url
        self.timeout = timeout
        self.retries = retries
        self.connection = Connection(self._http(**requests.options(found.url, found.key, timeout, agent)))
        self.trainings = AsyncTrainings(self)
        self.datasets = AsyncDatasets(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *why: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.connection.close()

    async def request(
        self, /, method: str, path: str, query: Mapping[str, Any] | None = None, **options: Any
    ) -> httpx.Response:
        """Return a successful answer. Raise DpipeError after the retries."""
        attempt, params = 0, parameters(query or {})
        while True:
            try:
                response = await self.connection.request(method, address(path), params=params, **options)
                if response.is_success:
                    return response
                failure, seconds = failure_of(response), pause(attempt, response)
            except httpx.DecodingError as error:
                raise bad_answer(str(error)) from error
            except httpx.RequestError as error:
                failure, seconds = unreachable(self.url, error), pause(attempt)
            if attempt >= self.retries or seconds is None:
                raise failure
            attempt += 1
            await self.connection.sleep(seconds)

    async def get(self, /, path: str, **query: Any) -> Any:
        """Return the data of a GET. The path is below /api/v1."""
        return data_of(await self.request("GET", path, query))

    async def post(self, /, path: str, json: Any = None, *, idempotency_key: str | None = None, **query: Any) -> Any:
        """Return the data of a POST. A random Idempotency-Key makes retries safe."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return data_of(await self.request("POST", path, query, json=json, headers=headers))

    async def send(self, /, method: str, path: str, json: Any = None, **query: Any) -> Any:
        """Return the data of another method, such as PATCH or DELETE."""
        return data_of(await self.request(method, path, query, json=json))

    async def read(self, /, path: str, **query: Any) -> bytes:
        """Return the bytes of a file, such as a picture."""
        return (await self.request("GET", path, query, headers={"Accept": "*/*"})).content

    async def pages(self, /, path: str, field: str, *, limit: int | None = None, **query: Any) -> AsyncIterator[Any]:
        """Yield the rows of a list, at most `limit`, and fetch its pages as needed."""
        cursor, left = None, float("inf") if limit is None else limit
        while left > 0:
            page = await self.get(path, **query, limit=min(left, PAGE), cursor=cursor)
            for row in part(page, field, list)[: None if limit is None else left]:
                left -= 1
                yield row
            following = (page.get("pagination") or {}).get("next_cursor")
            if following is None or following == cursor:
                return
            cursor = following

    async def stream(self, /, path: str, **query: Any) -> AsyncIterator[Event]:
        """Yield the messages of a stream until its end; reconnect where it is cut, without gaps."""
        last_id: str | None = None
        attempt, heard = 0, 0.0
        timeout = httpx.Timeout(self.timeout, read=max(self.timeout, SILENCE_SECONDS))
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id is not None else {})}
            seconds: float | None = pause(attempt)
            try:
                async with self.connection.stream(
                    address(path), params=parameters(query), headers=headers, timeout=timeout
                ) as (response, chunks):
                    if not response.is_success:
                        failure, seconds = failure_of(response), pause(attempt, response)
                    elif not response.headers.get("content-type", "").startswith("text/event-stream"):
                        raise bad_answer("no event stream")
                    else:
                        decoder = Decoder(last_id)
                        async for chunk in chunks:
                            attempt, heard = 0, monotonic()
                            for message in decoder.feed(chunk):
                                last_id = message.id
                                yield message
                                if message.kind == "end":
                                    return
                        failure = unreachable(self.url, "the stream ended")
            except httpx.RequestError as error:
                failure = unreachable(self.url, error)
            gave_up = monotonic() - heard > RECONNECT_SECONDS if heard else attempt >= self.retries
            if seconds is None or gave_up:
                raise failure
            attempt += 1
            await self.connection.sleep(seconds)

    async def save(self, path: str, to: Path, progress: uploads.Progress | None = None) -> Path:
        """Download a file to a path, and continue where an interrupted download ended."""
        plain = {"Accept": "*/*", "Accept-Encoding": "identity"}
        head = await self.request("HEAD", path, headers=plain)
        tag, length = head.headers.get("etag", ""), head.headers.get("content-length", "")
        total = int(length) if length.isdigit() else None
        part = to.with_name(f".{to.name}.{hashlib.sha256(tag.encode()).hexdigest()[:12]}.part")
        to.parent.mkdir(parents=True, exist_ok=True)
        attempt = 0
        while True:
            done = part.stat().st_size if tag and part.exists() else 0
            if total is not None and done == total > 0:
                break
            ranged = {"Range": f"bytes={done}-", "If-Range": tag} if done else {}
            try:
                async with self.connection.stream(address(path), headers={**plain, **ranged}) as (response, chunks):
                    if not response.is_success:
                        raise failure_of(response)
                    done = done if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
                    with part.open("ab" if done else "wb") as file:
                        async for chunk in chunks:
                            file.write(chunk)
                            done += len(chunk)
                            attempt = 0
                            if progress is not None:
                                progress(done, total)
                break
            except httpx.RequestError as error:
                if attempt >= self.retries:
                    raise unreachable(self.url, error) from error
                await self.connection.sleep(pause(attempt) or 0)
                attempt += 1
        if total is not None and part.stat().st_size != total:
            part.unlink()
            raise bad_answer(f"the file has not its {total} bytes")
        part.replace(to)
        return to

    async def gpus(self) -> list[t.GPUInfo]:
        """Return all GPUs with their latest readings."""
        return cast(list[t.GPUInfo], part(await self.get("/gpu/status"), "gpus", list))


class AsyncTrainings:
    """The trainings that the key may see, newest first."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __aiter__(self) -> "AsyncIterator[AsyncTraining]":
        return self.list()

    async def list(self, /, **filters: Any) -> "AsyncIterator[AsyncTraining]":
        """Yield trainings by `status`, `model_type`, `gpu_id`, `search`, `tag`, `owner`, `sweep`, `kind` or `order`."""
        async for row in self._client.pages("/training/list", "tasks", **filters):
            yield AsyncTraining(self._client, row)

    async def get(self, id: str) -> "AsyncTraining":  # noqa: A002
        """Return a training. Raise NotFound."""
        return AsyncTraining(self._client, await self._client.get(join("training", id)))

    async def start(
        self,
        /,
        config: Source = None,
        dataset: Source = None,
        *,
        model_type: str | None = None,
        gpus: int | Sequence[int | str] | None = None,
        name: str | None = None,
        samples: Mapping[str, Any] | None = None,
        resolutions: Sequence[int] = RESOLUTIONS,
        wait: bool = False,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> "AsyncTraining":
        """Start a training. `wait` returns it when it has ended.

        `config` and `dataset` are TOML files on this machine, TOML texts or JSON. `dataset` may also name one of the
        service, such as "cats" or "cats@3", which is trained with `resolutions`. `gpus` is a number, or indexes and
        UUIDs. A call with the same `idempotency_key` and arguments returns the same training. `options` are further
        fields of the request.
        """
        given = {"model_type": model_type, "gpus": gpus, "name": name, "samples": samples, **options}
        body = requests.start_body(config, dataset, resolutions, given)
        task = await self._client.post("/training/start", body, idempotency_key=idempotency_key)
        training = AsyncTraining(self._client, task)
        return await training.wait() if wait else training

    async def plan(
        self,
        /,
        config: Source = None,
        dataset: Source = None,
        *,
        resolutions: Sequence[int] = RESOLUTIONS,
        **options: Any,
    ) -> t.Validation:
        """Return all findings about the request of a `start`, and its plan. Nothing is started."""
        body = requests.start_body(config, dataset, resolutions, options)
        return cast(t.Validation, await self._client.post("/training/validate", body))

    async def compare(
        self, /, ids: Sequence[str], metric: str = "loss", axis: str = "step", **query: Any
    ) -> t.ComparedTrainings:
        """Return two to eight trainings side by side: series, settings that differ, and common prompts."""
        found = await self._client.get("/training/compare", tasks=ids, metric=metric, axis=axis, **query)
        return cast(t.ComparedTrainings, found)


class AsyncTraining(requests.Task):
    """A training, or another task with the same methods: an export, samples, a rehearsal."""

    def __init__(self, client: AsyncClient, data: Any) -> None:
        super().__init__(data)
        self._client = client

    async def refresh(self) -> Self:
        """Read it again."""
        self._take(await self._client.get(self._path()))
        return self

    async def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended, also while the server restarts. Raise TimedOut."""
        begin = heard = monotonic()
        interval = 0.2
        while True:
            try:
                await self.refresh()
                heard = monotonic()
            except (Unreachable, ServerError) as error:
                if error.status == httpx.codes.INTERNAL_SERVER_ERROR or monotonic() - heard > RECONNECT_SECONDS:
                    raise
            if self.has_ended:
                return self
            left = float("inf") if timeout is None else begin + timeout - monotonic()
            if left <= 0:
                raise TimedOut(f"{self.id} is still {self.status} after {timeout} s.", code="timeout")
            await self._client.connection.sleep(min(interval, left))
            interval = min(5.0, interval * 1.2)

    async def follow(self, tail: int = 100, types: str = "log,progress,status") -> AsyncIterator[Event]:
        """Yield lines of the log from the last `tail` on, progress and changes of status, until it has ended."""
        stream = self._client.stream(self._path("events", "stream"), types=types, tail=tail)
        # A reader that stops early closes the connection at once.
        async with aclosing(cast(AsyncGenerator[Event, None], stream)) as messages:
            async for message in messages:
                data = message.data if isinstance(message.data, dict) else {}
                if message.kind == "log":
                    for line in data.get("logs", []):
                        yield Event("log", line)
                elif message.kind in ("progress", "status"):
                    if message.kind == "status":
                        self.data["status"] = str(data.get("status"))
                    yield message
                elif message.kind == "end":
                    await self.refresh()
                    yield Event("status", data)

    async def logs(
        self, /, search: str | None = None, *, tail: int | None = None, **query: Any
    ) -> AsyncIterator[t.LogLine]:
        """Yield the lines of its log, the last `tail` lines, or those that contain `search`."""
        offset: int | None = 0 if tail is None else None
        path, field = (self._path("logs"), "logs") if search is None else (self._path("logs", "search"), "results")
        if search is not None:
            # Each page is a request: by the default of 100, a long log takes minutes.
            query = {"limit": 1_000, **query}
        while True:
            page = await self._client.get(path, keyword=search, tail=tail, offset=offset, **query)
            for line in part(page, field, list):
                yield line
            following = part(page, "next_offset") if search is not None or page.get("has_more") else None
            if tail is not None or following is None or following == offset:
                return
            offset = following

    async def stop(self, save: bool = True, keep_lora: bool = False, wait: bool = False) -> Self:
        """Stop it, by default with a checkpoint. `keep_lora` makes a LoRA of that; `wait` returns after the end."""
        seconds = 60 if wait else 0
        query, body = {"wait": seconds or None}, {"force": not save, "keep_lora": keep_lora}
        timeout = self._client.timeout + seconds
        response = await self._client.request("POST", self._path("stop"), query, json=body, timeout=timeout)
        self._take(data_of(response))
        return await self.wait() if wait else self

    async def resume(self, /, **changes: Any) -> Self:
        """Resume it from its last complete checkpoint, or another `checkpoint`, with changed fields of its request."""
        self._take(await self._client.post(join("training", "resume", self.id), changes))
        return self

    async def samples(self, /, **query: Any) -> AsyncIterator[t.TrainingSample]:
        """Yield its samples, newest first, by `checkpoint` and `prompt`. `client.read(sample["url"])` is a picture."""
        async for row in self._client.pages(self._path("samples"), "samples", **query):
            yield row

    async def sample(
        self, /, checkpoints: Sequence[str] | None, sample_set: Prompts, **options: Any
    ) -> "AsyncTraining":
        """Render a sample set, by name, or prompts with saved models (None: the latest), and return that task."""
        if not isinstance(sample_set, str | Mapping):
            sample_set = {"prompts": [{"text": text} for text in sample_set]}
        body = {"sample_set": sample_set, **options} | ({"checkpoints": list(checkpoints)} if checkpoints else {})
        return AsyncTraining(self._client, await self._client.post(self._path("samples"), body))

    async def export(self, checkpoint: str | None = None, method: str | None = None) -> "AsyncTraining":
        """Make a LoRA of a checkpoint and return that task, or this one if the LoRA exists already."""
        found = await self._client.post(self._path("export"), {"checkpoint": checkpoint, "method": method})
        export_id = part(found, "export_id")
        return self if export_id is None else await self._client.trainings.get(export_id)

    async def files(self, /, **query: Any) -> AsyncIterator[t.Artifact]:
        """Yield the files that it made."""
        async for row in self._client.pages(self._path("artifacts"), "artifacts", **query):
            yield row

    async def download(
        self, file: str | None = None, to: Path | str = ".", progress: uploads.Progress | None = None
    ) -> Path:
        """Download a file by its path, by default the chosen or newest saved model, into a directory or to a path.

        Raise Invalid if the directory has a file of that name already; a path is replaced.
        """
        found = [each async for each in self.files(order="newest")]
        if file is None:
            file = requests.choose_file(found, (await self.refresh()).data["chosen"])
        names = [each["download_name"] for each in found if each["path"] == file]
        target = Path(to)
        if target.is_dir():
            target /= requests.local_name(names[0] if names else file)
            if target.exists():
                raise Invalid(f"{target} exists already.", code="file_exists", remedy="Give another path as `to`.")
        return await self._client.save(self._path("artifacts", *file.split("/")), target, progress)


class AsyncDataset(requests.DatasetFacts):
    """A dataset of the service."""

    def __init__(self, client: AsyncClient, data: Any) -> None:
        super().__init__(data)
        self._client = client

    async def items(self, /, **query: Any) -> AsyncIterator[t.ItemView]:
        """Yield its pictures and videos."""
        async for row in self._client.pages(join("datasets", self.name, "items"), "items", **query):
            yield row


class AsyncDatasets:
    """The datasets that the key may see."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __aiter__(self) -> AsyncIterator[AsyncDataset]:
        return self.list()

    async def list(self, /, **filters: Any) -> AsyncIterator[AsyncDataset]:
        """Yield datasets by `search`, `tag` or `owner`."""
        async for row in self._client.pages("/datasets", "datasets", **filters):
            yield AsyncDataset(self._client, row)

    async def get(self, name: str) -> AsyncDataset:
        """Return a dataset. Raise NotFound."""
        return AsyncDataset(self._client, part(await self._client.get(join("datasets", name)), "dataset"))

    async def upload(
        self, folder: Path | str, name: str | None = None, progress: uploads.Progress | None = None
    ) -> AsyncDataset:
        """Upload a folder, archive or file, and return its dataset when it contains them.

        The name is by default that of the folder. An existing dataset gets a new version. An interrupted upload of the
        same folder is continued, also by another program. `progress` is called with the sent bytes and their total.
        """
        plan = uploads.plan(Path(folder), name, self._client.url)
        done, ids = 0, []
        for file in plan.files:
            ids.append(await self._send(plan, file, done, progress))
            done += file.size
        # A batch is processed as a whole: most of its uploads have ended when the last one has.
        await self._processed(ids[-1], {})
        listed = self._client.pages("/uploads", "uploads", limit=len(ids) + PAGE)
        rows = {row["upload_id"]: row async for row in listed}
        ended = [await self._processed(upload_id, rows) for upload_id in ids]
        # The same folder would be uploaded again.
        plan.state.unlink(missing_ok=True)
        failed = [each for each in ended if each["status"] == "failed"]
        if failed:
            text = f"{len(failed)} of {len(ids)} files were refused; the others are in {plan.dataset}."
            mistakes = [{"pointer": each["filename"], "message": each["problem"]["message"]} for each in failed]
            raise Invalid(text, code="upload_failed", errors=mistakes, remedy="Correct those files.")
        return await self.get(plan.dataset)

    async def _begin(self, plan: uploads.Plan, file: uploads.LocalFile, first: bytes) -> tuple[str, int]:
        """Return the id of a file's upload, and how many bytes the server has. Its first bytes are sent with it."""
        headers = {**uploads.TUS, "Upload-Length": str(file.size), "Upload-Metadata": plan.metadata(file)}
        for key in (plan.key(file), str(uuid.uuid4())):
            named = {**headers, **uploads.PART, "Idempotency-Key": key}
            response = await self._client.request("POST", "/uploads", headers=named, content=first)
            upload_id = str(part(data_of(response), "upload_id"))
            if "idempotent-replayed" not in response.headers:
                return upload_id, uploads.offset_of(response.headers) if first else 0
            with suppress(NotFound):
                found = await self._client.get(join("uploads", upload_id))
                if found["status"] != "failed":
                    return upload_id, found["offset"] or 0
        raise bad_answer("a new upload that does not exist")

    async def _send(
        self, plan: uploads.Plan, file: uploads.LocalFile, before: int, progress: uploads.Progress | None
    ) -> str:
        """Send a file and return the id of its upload. The progress counts the bytes of files before it."""

        def report(offset: int) -> None:
            if progress is not None:
                progress(before + offset, plan.total)

        with file.path.open("rb") as opened:
            upload_id, offset = await self._begin(plan, file, uploads.read(opened, file, 0))
            report(offset)
            path, conflicts = join("uploads", upload_id), 0
            while offset < file.size:
                headers = {**uploads.TUS, **uploads.PART, "Upload-Offset": str(offset)}
                content = uploads.read(opened, file, offset)
                try:
                    response = await self._client.request("PATCH", path, content=content, headers=headers)
                    conflicts = 0
                except Conflict:
                    # An interrupted request was stored in part, or is still being written.
                    conflicts += 1
                    if conflicts > self._client.retries:
                        raise
                    await self._client.connection.sleep(pause(conflicts) or 0)
                    response = await self._client.request("HEAD", path, headers=uploads.TUS)
                offset = uploads.offset_of(response.headers)
                report(offset)
        return upload_id

    async def _processed(self, upload_id: str, rows: Mapping[str, Any]) -> dict[str, Any]:
        """Return an upload when it has been processed. `rows` are the uploads that have been read."""
        interval = 0.1
        found = rows.get(upload_id) or {"status": "unknown"}
        while found["status"] not in ("completed", "failed"):
            await self._client.connection.sleep(interval)
            interval = min(2.0, interval * 1.5)
            found = await self._client.get(join("uploads", upload_id))
        return cast(dict[str, Any], found)
