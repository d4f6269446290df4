"""The request of a sampling job, and the samples that it makes."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from api.jobs.kinds import REQUEST_FILE

#: In the task's output directory: one line of JSON for each sample, and the directory of the pictures.
RESULTS, PICTURES = "samples.jsonl", "pictures"

#: Beside the pictures, so that both are deleted together.
THUMBNAILS = ".thumbnails"


#: Limits of a line of results and of a request, in bytes.
_MOST_LINE, _MOST_REQUEST = 64 * 1024, 16 * 2**20


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A saved model to sample."""

    checkpoint: str  #: epoch2, step500
    path: str
    keys: int | None = None  #: number of its weights' modules; None if unknown
    export: str | None = None  #: directory of the task that makes it; None: it exists


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a sample set, with everything filled in."""

    text: str
    seed: int
    negative: str | None = None


@dataclass(frozen=True, slots=True)
class ComfyAddress:
    """A ComfyUI."""

    url: str
    lora_directory: str  #: its own, as this machine sees it


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """What a sampling job renders, and with what. None leaves the workflow's own value."""

    loras: tuple[LoraFile, ...]
    prompts: tuple[Prompt, ...]
    model_type: str
    strength: float = 1.0
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    base: str | None = None  #: file name of the trained model
    graph: Mapping[str, Any] | None = None  #: a workflow in API format; None: the built-in one
    places: Mapping[str, Any] | None = None  #: its inputs; None: they are found
    servers: tuple[ComfyAddress, ...] = ()  #: in the order in which they are tried; empty: a command renders
    extensions: tuple[str, ...] = ()  #: extensions of ComfyUI whose nodes may be used
    command: tuple[str, ...] = ()
    most_seconds: float = 1800.0  #: limit for one sample
    earlier: tuple[str, ...] = ()  #: directories of tasks of the same training, which may have rendered the base model

    def as_json(self) -> dict[str, Any]:
        """Return the mapping that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "SamplingRequest":
        """Return the request of a mapping. Raise ValueError if it has another form.

        Unknown fields are ignored: an earlier version stored more.
        """
        return TypeAdapter(cls).validate_python(stored)


def read_request(work: Path) -> SamplingRequest:
    """Return the request in a task's output directory. Raise OSError, or ValueError if it is too large or invalid."""
    with (work / REQUEST_FILE).open("rb") as file:
        content = file.read(_MOST_REQUEST + 1)
    if len(content) > _MOST_REQUEST:
        raise ValueError(f"{work / REQUEST_FILE} has more than {_MOST_REQUEST:,} bytes")
    try:
        return SamplingRequest.from_json(json.loads(content))
    except RecursionError as error:
        raise ValueError(f"{work / REQUEST_FILE} is no request of a sampling job") from error


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One sample. `file` is None if there is no picture; then `problem` says why."""

    checkpoint: str | None  #: None: the base model without a LoRA
    prompt: int  #: index in the request
    seed: int
    strength: float
    file: str | None = None  #: in the directory of pictures
    sha256: str | None = None
    pixels: str | None = None  #: hash of the pixels, which does not depend on metadata
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    keys_missing: int | None = None  #: keys of the LoRA that were not loaded
    workflow_hash: str | None = None
    comfyui_version: str | None = None
    server: str | None = None  #: what rendered it; None: unknown
    problem: str | None = None

    def line(self) -> str:
        """Return the sample as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def read_records(work: Path) -> Iterator[SampleRecord]:
    """Yield the samples of a job that runs or has ended. Incomplete and foreign lines are left out."""
    try:
        with (work / RESULTS).open("rb") as file:
            while line := file.readline(_MOST_LINE):
                try:
                    yield SampleRecord(**json.loads(line))
                except (ValueError, TypeError, RecursionError):
                    continue
    except FileNotFoundError:
        return


def settings_of(request: SamplingRequest) -> list[str]:
    """Return for each prompt a hash of everything that decides how the base model's picture looks."""
    stored = request.as_json()
    shared = {name: stored[name] for name in ("model_type", "width", "height", "frames", "steps", "base", "graph")}
    common = hashlib.sha256(json.dumps(shared, sort_keys=True).encode())
    found = []
    for prompt in request.prompts:
        one = common.copy()
        one.update(json.dumps(asdict(prompt), sort_keys=True).encode())
        found.append(one.hexdigest())
    return found


def read_base_pixels(work: Path) -> dict[tuple[str | None, str], str | None]:
    """Return the hashes of the base model's pixels that a job has rendered, by server and `settings_of`.

    None stands for a video.
    """
    try:
        settings = settings_of(read_request(work))
    except (OSError, ValueError):
        return {}
    return {
        (each.server, settings[each.prompt]): each.pixels
        for each in read_records(work)
        if each.checkpoint is None and each.file is not None and each.prompt in range(len(settings))
    }
