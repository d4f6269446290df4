"""A client of ComfyUI's HTTP API. It only polls; progress by WebSocket is not needed."""

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import TypeAdapter, ValidationError

from api.jobs.errors import StopRequested
from api.jobs.sampling.answers import (
    HISTORY,
    LOG,
    NODE_TYPES,
    QUEUE,
    SAVED,
    STATS,
    SUBMITTED,
    Finished,
    Status,
    Submitted,
)
from api.jobs.sampling.graph import (
    Graph,
    Places,
    Values,
    WorkflowProblem,
    check_places,
    choices_of,
    fill,
    find_places,
    find_problems,
    hash_graph,
    node_types,
)
from api.jobs.sampling.sampler import Rendered, SamplerProblem, SamplerUnavailable, Shot, one_line
from api.jobs.sampling.workflows import build, needed_types
from api.util.copying import copy_fields
from api.util.files.foreign_files import open_plain
from api.util.http.bounded_answers import TimedTransport

#: Limits of answers in bytes: descriptions, histories and logs, and a picture or clip.
_MOST_JSON, _MOST_PICTURE = 16 * 2**20, 256 * 2**20

#: Seconds for one answer, and between two looks at the history.
_ANSWER_SECONDS, _POLL_SECONDS = 30.0, 0.5

#: How often a prompt is sent again after ComfyUI has forgotten it, as after its restart.
_RESENDS = 3

#: Suffixes of pictures and clips that are accepted.
ENDINGS = (".png", ".webp", ".jpg", ".jpeg", ".gif", ".webm", ".mp4")

#: Path components of a saved model's directory, from its end, in which symbolic links are not followed: the task's,
#: its output, the run and the epoch.
_LEVELS = 4

T = TypeVar("T")

_NOT_LOADED = re.compile(r"lora key not loaded: |ERROR lora ")


@dataclass(frozen=True, slots=True)
class ChosenWorkflow:
    """The workflow that renders the samples of a model."""

    model_type: str
    base: str | None = None  #: the file name of the trained model
    graph: Graph | None = None  #: None: the built-in workflow of the model type
    places: Places | None = None  #: its inputs; None: they are found
    extensions: tuple[str, ...] = ()  #: whose nodes it may use


class ComfyUI:
    """Renders with one ComfyUI server. LoRA files are placed in a directory that it reads."""

    def __init__(
        self,
        url: str,
        lora_directory: Path | None,
        client: httpx.Client,
        workflow: ChosenWorkflow,
        *,
        most_seconds: float = 1800.0,
        is_stopping: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Create the client. `most_seconds` is the limit for one picture."""
        self._url = url.rstrip("/")
        self._loras = lora_directory
        self._client = client
        self._chosen = workflow
        self._graph, self._places = workflow.graph, workflow.places
        self._most_seconds = most_seconds
        self._is_stopping = is_stopping
        self._sleep = sleep
        self._version: str | None = None

    @property
    def server(self) -> str:
        """A hash of address, which may contain a password, and version."""
        return hashlib.sha256(f"{self._url} {self._version}".encode()).hexdigest()[:16]

    @property
    def version(self) -> str | None:
        """The server's version; None before `prepare`, or if it reports none."""
        return self._version

    @property
    def workflow_hash(self) -> str | None:
        """The workflow's hash; None before `prepare`."""
        return None if self._graph is None or self._places is None else hash_graph(self._graph, self._places)

    def prepare(self) -> None:
        """Check the directory, the server and the workflow. Raise SamplerProblem or SamplerUnavailable."""
        loras = self._directory()
        if not os.access(loras, os.W_OK | os.X_OK):
            raise SamplerProblem(f"The service cannot write to COMFYUI_LORAS ({loras}): correct its path or rights.")
        version = self._read(STATS, "GET", "/system_stats").system.comfyui_version
        self._version = None if version is None else one_line(version)[:40]
        workflow, places = self._workflow()
        problems = find_problems(workflow, places, self._describe(node_types(workflow)), self._chosen.extensions)
        if problems:
            more = f" ({len(problems) - 3} more)" if len(problems) > 3 else ""
            raise SamplerProblem(" ".join(problems[:3]) + more)

    def _workflow(self) -> tuple[Graph, Places]:
        """Return the workflow and its inputs. Raise SamplerProblem if there is none for this model."""
        try:
            if self._graph is None:
                model_type = self._chosen.model_type
                self._graph = build(model_type, self._describe(needed_types(model_type)), self._chosen.base)
            if self._places is None:
                self._places = find_places(self._graph)
            # Registered before this was checked, or edited since.
            check_places(self._graph, self._places)
        except WorkflowProblem as problem:
            raise SamplerProblem(str(problem)) from None
        return self._graph, self._places

    def _directory(self) -> Path:
        if self._loras is None:
            raise SamplerProblem(
                "ComfyUI has no upload for LoRAs: set COMFYUI_LORAS to the directory models/loras of this ComfyUI, as"
                " this machine sees it."
            )
        return self._loras

    def _describe(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the server's descriptions of these node types; unknown ones are missing."""
        found = {name: self._read(NODE_TYPES, "GET", f"/object_info/{quote(name, safe='')}") for name in names}
        return {name: each[name].model_dump() for name, each in found.items() if name in each}

    # -- LoRA files ------------------------------------------------------------------------------------------------

    def add_lora(self, path: Path, name: str) -> None:
        """Link or copy a file into ComfyUI's directory. Raise SamplerProblem if the server does not list it."""
        target = self._directory() / name
        try:
            # The trainer may belong to another user, who must not direct the link to a file of the service.
            with os.fdopen(open_plain(str(path), _LEVELS), "rb") as file:
                _place(file, target)
        except OSError as error:
            raise SamplerProblem(f"The LoRA cannot be placed in {self._loras}: {error.strerror}.") from error
        described = self._describe(["LoraLoaderModelOnly"]).get("LoraLoaderModelOnly", {})
        listed = choices_of(described.get("input", {}).get("required", {}).get("lora_name")) or []
        if name not in listed:
            self.remove_lora(name)
            raise SamplerProblem(
                f"ComfyUI at {self._url} does not list a file that was placed in {self._loras}: set COMFYUI_LORAS to"
                " its own directory models/loras."
            )

    def remove_lora(self, name: str) -> None:
        """Remove a file from ComfyUI's directory, also an unfinished copy."""
        if self._loras is not None:
            for path in (self._loras / name, _draft(self._loras / name)):
                with contextlib.suppress(OSError):
                    path.unlink()

    # -- rendering -------------------------------------------------------------------------------------------------

    def render(self, shot: Shot) -> Rendered:
        """Render one picture or clip. Raise SamplerProblem, SamplerUnavailable or StopRequested."""
        workflow, places = self._workflow()
        # A graph that was rendered before is answered from a cache whose file may be deleted, so each has a new prefix.
        graph = fill(workflow, places, copy_fields(Values, shot, prefix=f"dpipe/{uuid.uuid4().hex}"))
        lines_before = self._log()
        for _ in range(_RESENDS):
            history = self._wait(self._submit(graph))
            if history is not None:
                break
        else:
            raise SamplerUnavailable(
                f"ComfyUI at {self._url} lost the prompt {_RESENDS} times: it restarts or is cleared."
            )
        content, ending = self._fetch(history, places.output)
        missing = self._count_missing(lines_before) if shot.strength else None
        return Rendered(content, ending, missing)

    def _submit(self, graph: Graph) -> str:
        prompt_id = str(uuid.uuid4())
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": prompt_id}
        answer = self._read(SUBMITTED, "POST", "/prompt", body)
        if answer.error is not None or answer.node_errors:
            raise SamplerProblem(f"ComfyUI refuses the workflow: {_refusal(answer)}")
        return answer.prompt_id or prompt_id

    def _history(self, prompt_id: str) -> Finished | None:
        return self._read(HISTORY, "GET", f"/history/{quote(prompt_id, safe='')}").get(prompt_id)

    def _wait(self, prompt_id: str) -> Finished | None:
        """Return the history of a finished prompt, or None if the server has forgotten it. Stop it if asked to."""
        give_up_at = time.monotonic() + self._most_seconds
        while True:
            entry = self._history(prompt_id)
            if entry is not None:
                return entry
            if prompt_id not in self._read(QUEUE, "GET", "/queue").ids():
                # It may have ended between the two questions.
                return self._history(prompt_id)
            is_late = time.monotonic() > give_up_at
            if is_late or self._is_stopping():
                self._cancel(prompt_id)
                if is_late:
                    raise SamplerProblem(
                        f"ComfyUI took longer than {self._most_seconds:.0f} s for one sample: restart it if it hangs,"
                        " or raise SAMPLE_SECONDS."
                    )
                raise StopRequested
            self._sleep(_POLL_SECONDS)

    def _cancel(self, prompt_id: str) -> None:
        with contextlib.suppress(SamplerProblem):
            self._request("POST", "/queue", {"delete": [prompt_id]}, _MOST_JSON)
        # Versions that take no id would interrupt the prompt of another user, so it is sent only if ours runs.
        with contextlib.suppress(SamplerProblem):
            queue = self._read(QUEUE, "GET", "/queue")
            if prompt_id in queue.model_copy(update={"queue_pending": []}).ids():
                self._request("POST", "/interrupt", {"prompt_id": prompt_id}, _MOST_JSON)

    def _fetch(self, entry: Finished, output: str) -> tuple[bytes, str]:
        if entry.status is not None and entry.status.status_str == "error":
            raise SamplerProblem(_failure(entry.status))
        with self._checked("/history"):
            files = SAVED.validate_python(entry.outputs.get(output) or {}).files()
        if not files:
            raise SamplerProblem("ComfyUI finished the prompt and saved no picture: run the workflow in ComfyUI once.")
        file = files[0]
        ending = os.path.splitext(file.filename)[1].lower()
        if ending not in ENDINGS:
            raise SamplerProblem(
                f"ComfyUI saved a file of the type {ending or 'without a suffix'}: save PNG, WebP or MP4."
            )
        return self._request("GET", f"/view?{urlencode(file.model_dump())}", None, _MOST_PICTURE), ending

    # -- log -------------------------------------------------------------------------------------------------------

    def _log(self) -> list[str]:
        """Return the last lines of the server's log, at most 300; empty if it has none."""
        try:
            return [f"{each.t} {each.m}" for each in self._read(LOG, "GET", "/internal/logs/raw").entries]
        except SamplerUnavailable:
            raise
        except SamplerProblem:
            return []

    def _count_missing(self, before: Sequence[str]) -> int:
        """Return how many keys of the LoRA the log reports as not loaded since then."""
        known = set(before)
        return sum(bool(_NOT_LOADED.search(line)) for line in self._log() if line not in known)

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _read(self, shape: TypeAdapter[T], method: str, path: str, body: Any = None) -> T:
        """Return a checked answer. Raise SamplerProblem if it has another form, or SamplerUnavailable."""
        content = self._request(method, path, body, _MOST_JSON)
        with self._checked(path):
            return shape.validate_json(content)

    @contextlib.contextmanager
    def _checked(self, path: str) -> Iterator[None]:
        try:
            yield
        except ValidationError:
            raise SamplerProblem(
                f"{self._url} is no ComfyUI that the service knows: its answer to {path:.100} has another form. Correct"
                " COMFYUI_URL, or update ComfyUI."
            ) from None

    def _request(self, method: str, path: str, body: Any, most: int) -> bytes:
        """Return the body of an answer. A refusal of a prompt (400) is returned as well."""
        give_up_at, where = time.monotonic() + max(_ANSWER_SECONDS, most / 2**20), path.partition("?")[0]
        try:
            with self._client.stream(method, f"{self._url}{path}", json=body, timeout=_ANSWER_SECONDS) as answer:
                parts, count = [], 0
                for part in answer.iter_raw():
                    parts.append(part)
                    count += len(part)
                    if count > most or time.monotonic() > give_up_at:
                        raise SamplerProblem(f"An answer of ComfyUI ({where}) is too long or too slow.")
        except (httpx.HTTPError, OSError) as error:
            raise SamplerUnavailable(
                f"ComfyUI at {self._url} does not answer ({type(error).__name__}): start it, or correct COMFYUI_URL."
            ) from error
        except (httpx.InvalidURL, ValueError):
            # An address, or a text of the workflow, that HTTP cannot carry.
            raise SamplerProblem(
                f"ComfyUI at {self._url} cannot be asked for {where:.100}: correct COMFYUI_URL or the workflow."
            ) from None
        if answer.status_code == 400 and path == "/prompt":
            return b"".join(parts)
        if answer.status_code >= 500:
            raise SamplerUnavailable(f"ComfyUI at {self._url} answers {answer.status_code} to {where}.")
        if answer.status_code >= 300:
            raise SamplerProblem(
                f"ComfyUI at {self._url} answers {answer.status_code} to {where}: check its address, and that nothing"
                " in front of it asks for a password."
            )
        return b"".join(parts)


def _refusal(answer: Submitted) -> str:
    """Return the reasons of a refused prompt, in one line."""
    nodes = answer.node_errors if isinstance(answer.node_errors, dict) else {}
    found = [
        f"node {node_id}: {each.message} ({each.details})" for node_id, node in nodes.items() for each in node.errors
    ]
    if not found and isinstance(answer.error, dict):
        found.append(f"{answer.error.get('message')} {answer.error.get('details') or ''}")
    elif not found and answer.error:
        found.append(str(answer.error))
    return one_line("; ".join(found))[:500] or "it gives no reason."


def _failure(status: Status) -> str:
    """Return why a prompt failed."""
    for message in reversed(status.messages or ()):
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[1], Mapping):
            continue
        kind, facts = message
        if kind == "execution_interrupted":
            return "The prompt was interrupted in ComfyUI: sample again."
        if kind == "execution_error":
            what = f"{facts.get('exception_type')}: {facts.get('exception_message')}"
            if "out of memory" in what.lower() or "OutOfMemory" in what:
                return f"ComfyUI ran out of GPU memory: free its GPU, or sample smaller pictures ({what[:200]})."
            return one_line(f"ComfyUI failed in node {facts.get('node_id')} ({facts.get('node_type')}): {what}")[:500]
    return "ComfyUI failed and gives no reason: see its log."


def _place(file: IO[bytes], target: Path) -> None:
    """Link or copy an open file to a path. Raise OSError."""
    target.unlink(missing_ok=True)
    try:
        # A hard link takes no space, and works where ComfyUI does not see the service's files.
        os.link(f"/proc/self/fd/{file.fileno()}", target, follow_symlinks=True)
    except OSError:
        draft = _draft(target)
        with draft.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        draft.replace(target)


def _draft(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


_SECONDS, _MOST_BYTES = 5.0, 2**20


def is_answering(url: str) -> bool:
    """Return whether ComfyUI answers at this address."""
    try:
        with httpx.Client(
            transport=TimedTransport(most_bytes=_MOST_BYTES), timeout=_SECONDS, trust_env=False
        ) as client:
            return client.get(f"{url.rstrip('/')}/system_stats").status_code == httpx.codes.OK
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False
