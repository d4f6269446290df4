"""The parts of requests and the meaning of answers: all that needs no connection."""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx

from dpipe.errors import BadAnswer, DpipeError, Invalid, NotFound, bad_answer, error_of, unreachable
from dpipe.types import DatasetRow, TaskDetails
from dpipe.version import VERSION

BASE = "/api/v1"
FINAL = ("completed", "failed", "stopped")

#: Rows of a page.
PAGE = 100

#: The longest Retry-After, in seconds, that the client waits; a longer one is an error.
MOST_WAIT = 30.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Task:
    """A task of the service, as it was last seen."""

    def __init__(self, data: Any) -> None:
        """Take a row of a list, or all details. Later answers replace the contents of `data`."""
        if not isinstance(data, dict) or not isinstance(data.get("task_id"), str):
            raise bad_answer("a task without task_id")
        self.data = cast(TaskDetails, data)

    def _take(self, data: Any) -> None:
        cast(dict[str, Any], self.data).clear()
        self.data.update(Task(data).data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def id(self) -> str:
        return self.data["task_id"]

    @property
    def status(self) -> str:
        """The status when it was last seen."""
        return self.data["status"]

    @property
    def has_ended(self) -> bool:
        return self.status in FINAL

    def _path(self, *parts: str) -> str:
        return join("training", self.id, *parts)


class DatasetFacts:
    """A dataset of the service, as it was last seen."""

    def __init__(self, data: Any) -> None:
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            raise bad_answer("a dataset without a name")
        self.data = cast(DatasetRow, data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.reference}>"

    @property
    def name(self) -> str:
        return self.data["name"]

    @property
    def reference(self) -> str:
        """The name with the newest version, such as "cats@3"."""
        return self.name if self.data["latest"] is None else f"{self.name}@{self.data['latest']}"


def join(*parts: str) -> str:
    """Return the path of these segments. Raise Invalid for a segment that would change the path."""
    if any(part in ("", ".", "..") for part in parts):
        raise Invalid("An id or name is empty.", code="invalid_name", remedy="Give the id or name.")
    return "/" + "/".join(quote(part, safe="") for part in parts)


def address(path: str) -> str:
    """Return the path on the server: below the base path, unless it has it already or is outside it."""
    outside = path in ("/health", "/health/ready") or path.startswith(f"{BASE}/")
    return path if outside else f"{BASE}/{path.lstrip('/')}"


def parameters(query: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return the query parameters that are not None; lists are joined by commas."""
    known = {name: value for name, value in query.items() if value is not None}
    joined = {name: ",".join(map(str, each)) for name, each in known.items() if not isinstance(each, str | int | float)}
    return known | joined


def options(url: str, key: str | None, timeout: float, agent: str | None) -> dict[str, Any]:
    """Return the arguments of an httpx client. A server on this machine is reached without a proxy."""
    headers = {"User-Agent": f"dpipe/{VERSION}" + (f" ({agent})" if agent else ""), "Accept": "application/json"}
    if key:
        if not (key.isascii() and key.isprintable()):
            raise Invalid("The key has characters that no key has.", code="invalid_key", remedy="Check DPIPE_KEY.")
        headers["Authorization"] = f"Bearer {key}"
    trusted = urlsplit(url).hostname not in _LOOPBACK
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": trusted}


def data_of(response: httpx.Response) -> Any:
    """Return the data of a successful answer. Raise BadAnswer."""
    return None if response.status_code == 204 else part(_json(response), "data")


def failure_of(response: httpx.Response) -> DpipeError:
    """Return the error of an answer whose body has been read. The answer to HEAD has none."""
    status, url = response.status_code, f"{response.url.scheme}://{response.url.netloc.decode()}"
    if response.request.method == "HEAD":
        what = "does not exist" if status == httpx.codes.NOT_FOUND else f"was answered with HTTP status {status}"
        return error_of(status, {"error": {"code": f"http_{status}", "detail": f"{response.request.url.path} {what}."}})
    try:
        return error_of(status, _json(response), retry_after(response))
    except BadAnswer as error:
        # A proxy answers so while the server restarts.
        return unreachable(url, f"HTTP status {status}") if status in (502, 503, 504) else error


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise bad_answer(f"HTTP status {response.status_code}, no JSON") from None


def part(data: Any, name: str, kind: type = object) -> Any:
    """Return a field of an answer, which is of this type. Raise BadAnswer."""
    if not isinstance(data, dict) or name not in data or not isinstance(data[name], kind):
        raise bad_answer(f"{name} is missing")
    return data[name]


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After, or None."""
    text = response.headers.get("retry-after", "")
    return float(text) if re.fullmatch(r"\d{1,9}", text) else None


def pause(attempt: int, response: httpx.Response | None = None) -> float | None:
    """Return the seconds before the next attempt, or None if there should be none."""
    backoff = min(8.0, 0.25 * 2.0**attempt) * random.uniform(0.75, 1.25)  # noqa: S311
    if response is None or response.status_code in (502, 504):
        return backoff
    asked = retry_after(response)
    if response.status_code in (409, 429, 503) and asked is not None:
        return asked + backoff / 4 if asked <= MOST_WAIT else None
    return None


def start_body(
    config: Path | str | Mapping[str, Any] | None,
    dataset: Path | str | Mapping[str, Any] | None,
    resolutions: Sequence[int],
    others: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the body of a start. Files are sent as text; `dataset` may name a dataset of the service ("cats@3")."""
    body = {name: value for name, value in others.items() if value is not None}
    gpus = body.pop("gpus", None)
    if gpus is not None:
        body["gpu_count" if isinstance(gpus, int) else "gpu_ids"] = gpus
    if isinstance(config, Mapping):
        body["config"] = dict(config)
    elif config is not None:
        body["config_toml"] = text = _read(config)
        values = _parse(text, str(config))
        if isinstance(model := values.get("model"), dict):
            body.setdefault("model_type", model.get("type"))
        beside = Path(config).parent / str(values.get("dataset")) if _is_file(config) else None
        if dataset is None and beside is not None and beside.is_file():
            dataset = beside
    if body.get("model_type") is None:
        remedy = "Give model_type, or a configuration with [model] type."
        raise Invalid("The model type is missing.", code="model_type_missing", remedy=remedy)
    # The toy has no resolutions.
    sizes = [] if body["model_type"] == "toy" else list(resolutions)
    return body | ({} if dataset is None else _dataset(dataset, sizes, as_text="config_toml" in body))


def _dataset(dataset: Path | str | Mapping[str, Any], sizes: list[int], *, as_text: bool) -> dict[str, Any]:
    """Return the dataset of a request. Its form is that of the configuration."""
    if isinstance(dataset, Mapping):
        return {"dataset": dict(dataset)}
    if isinstance(dataset, Path) or dataset.endswith(".toml") or "\n" in dataset:
        return {"dataset_toml": _read(dataset)}
    if not re.fullmatch(r"[A-Za-z0-9._@:-]{1,200}", dataset):
        raise Invalid(f'"{dataset}" is not a dataset.', code="invalid_name", remedy='Use "name" or "name@3".')
    if as_text:
        top = f"resolutions = {sizes}\n\n" if sizes else ""
        return {"dataset_toml": f'{top}[[directory]]\ndataset = "{dataset}"\n'}
    return {"dataset": {"directories": [{"dataset": dataset}]} | ({"resolutions": sizes} if sizes else {})}


def _is_file(given: Path | str) -> bool:
    return isinstance(given, Path) or (given.endswith(".toml") and "\n" not in given)


def _read(given: Path | str) -> str:
    if not _is_file(given):
        return str(given)
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{given} cannot be read: {error}", code="unreadable_file", remedy="Check the path.") from error


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = name if "\n" not in name else "The configuration"
        raise Invalid(f"{where} is not TOML: {error}", code="invalid_toml", remedy="Correct that line.") from error


def choose_file(files: Sequence[Mapping[str, Any]], chosen: str | None) -> str:
    """Return the path of the chosen model, or of the newest one. `files` are artifacts, newest first."""
    models = [each for each in files if each["kind"] == "model" and each["is_complete"]]
    models = [each for each in models if str(each["path"]).endswith(".safetensors")]
    named = [each for each in models if chosen and chosen in Path(str(each["path"])).parts]
    for each in named or models:
        return str(each["path"])
    remedy = "Make one of a checkpoint: training.export()."
    raise NotFound("The training has no saved model yet.", code="no_saved_model", remedy=remedy)


def local_name(path: str) -> str:
    """Return a name for a downloaded file that stays in its directory."""
    name = re.split(r"[/\\]", path)[-1]
    return name if name not in ("", ".", "..") else "file"
