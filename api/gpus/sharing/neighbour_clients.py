"""The neighbours that speak HTTP: ComfyUI and Ollama."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, FailFast, Field, TypeAdapter, ValidationError

from api.domain.tasks.task import ProcessIdentity
from api.gpus.sharing.neighbour import Activity, NeighbourState
from api.gpus.sources.host import find_listener
from api.util.http.bounded_answers import TimedTransport

#: Seconds to connect, and then for a whole answer.
_SECONDS = 3.0
#: The most bytes of an answer. A queue of ComfyUI contains the graphs of its prompts.
_MOST_BYTES = 16 * 2**20
#: The most commas of an answer: parsing millions of values would stop all threads for seconds.
_MOST_COMMAS = 500_000
#: The most models that Ollama is asked to unload at a time.
_MOST_MODELS = 16
_MIB = 1024 * 1024

T = TypeVar("T")


class _HTTPNeighbour:
    def __init__(self, kind: str, url: str, command: str, transport: httpx.BaseTransport | None = None) -> None:
        parts = urlsplit(url)
        self.name = f"{kind} {parts.netloc}"
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.command = command
        self._url = url.rstrip("/")
        # Without redirects and proxies, so that only the configured address is reached.
        self._client = httpx.Client(
            transport=transport or TimedTransport(most_bytes=_MOST_BYTES), timeout=_SECONDS, trust_env=False
        )

    def find_process(self) -> ProcessIdentity | None:
        """Return the process that listens on its port."""
        return find_listener(self.port)

    def _ask(self, shape: TypeAdapter[T], path: str) -> T | None:
        """Return a checked answer, or None."""
        try:
            answer = self._client.get(f"{self._url}{path}")
            if answer.status_code != httpx.codes.OK or answer.content.count(b",") > _MOST_COMMAS:
                return None
            return shape.validate_json(answer.content)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValidationError):
            return None

    def _send(self, path: str, body: Any) -> bool:
        """Send an order. Return whether there was an answer."""
        try:
            self._client.post(f"{self._url}{path}", json=body)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return False
        return True


class _Device(BaseModel):
    name: str = Field("", max_length=1000)
    type: str | None = None
    vram_total: int | None = Field(None, ge=0, le=2**50)
    vram_free: int | None = Field(None, ge=0, le=2**50)


class _Stats(BaseModel):
    devices: Annotated[list[_Device], FailFast()] = Field([], max_length=64)


# A list of errors for each of millions of wrong values would take gigabytes.
_Prompts = Annotated[list[list[Any]], FailFast()]


class _Queue(BaseModel):
    """Prompts: their number, id, graph, extra data and outputs."""

    queue_running: _Prompts = []
    queue_pending: _Prompts = []


_STATS, _QUEUE = TypeAdapter(_Stats), TypeAdapter(_Queue)


class ComfyNeighbour(_HTTPNeighbour):
    """A ComfyUI. Prompts of this service do not make it busy: they belong to a training."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__("ComfyUI", url, "main.py", transport)

    def state(self) -> NeighbourState | None:
        """Return its queue as activity, and the used memory."""
        stats, queue = self._ask(_STATS, "/system_stats"), self._ask(_QUEUE, "/queue")
        if stats is None or queue is None:
            return None
        prompts = [*queue.queue_running, *queue.queue_pending]
        activity = Activity.OWN if prompts else Activity.IDLE
        if not all(map(_is_own, prompts)):
            activity = Activity.BUSY
        boards = [device for device in stats.devices if device.type == "cuda"]
        used = [
            max(0, device.vram_total - device.vram_free) // _MIB
            for device in boards
            if device.vram_total is not None and device.vram_free is not None
        ]
        return NeighbourState(activity, sum(used) if used else None, tuple(device.name for device in boards))

    def free(self) -> None:
        """Ask it to unload its models. It does so after the running prompt."""
        self._send("/free", {"unload_models": True, "free_memory": True})


def _is_own(prompt: list[Any]) -> bool:
    """Return whether this service sent a prompt: its sampler is a client for each prompt, with the prompt's id."""
    extra = prompt[3] if len(prompt) > 3 else None
    return isinstance(extra, Mapping) and extra.get("client_id") == prompt[1]


class _Model(BaseModel):
    model: str = Field(max_length=1000)
    size_vram: int | None = Field(None, ge=0, le=2**50)
    expires_at: str | None = Field(None, max_length=100)


class _Models(BaseModel):
    models: Annotated[list[_Model], FailFast()] = Field([], max_length=1000)


_MODELS = TypeAdapter(_Models)


class OllamaNeighbour(_HTTPNeighbour):
    """An Ollama. It has no queue, but each request moves the time at which it unloads the model."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__("Ollama", url, "ollama", transport)
        self._loaded: Mapping[str, str | None] | None = None  #: models and when they expire, as of the last look

    def state(self) -> NeighbourState | None:
        """Return whether a model was used since the last look, and the memory of all models."""
        answer = self._ask(_MODELS, "/api/ps")
        if answer is None:
            return None
        before, self._loaded = self._loaded, {each.model: each.expires_at for each in answer.models}
        is_used = before is not None and any(before.get(name) != until for name, until in self._loaded.items())
        sizes = [each.size_vram for each in answer.models]
        memory = None if None in sizes else sum(size or 0 for size in sizes) // _MIB
        return NeighbourState(Activity.BUSY if is_used else Activity.IDLE, memory)

    def free(self) -> None:
        """Ask it to unload its models. Each is unloaded after its running requests."""
        # This moves the times of the models, too, so that the next look must not compare them.
        models, self._loaded = list(self._loaded or ())[:_MOST_MODELS], None
        all(self._send("/api/generate", {"model": model, "keep_alive": 0}) for model in models)
