"""A client of vision models by OpenAI's protocol, with limits of time and size and with retries."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from api.domain.datasets.captioning import FILE_PLACEHOLDER, CaptionSettings
from api.executors.bounded_program import ERROR_BYTES, EndedProgram, PrintedTooMuch, TookTooLong, run_to_end, start
from api.jobs.errors import stop_if
from api.util.http.bounded_answers import refuse_compressed

#: The limits of an answer in bytes and of a caption in characters.
MAX_ANSWER = 2**20
MAX_CAPTION = 20_000

#: The number of tries of a request, and the waits between them in seconds. The wait doubles, or is as the endpoint
#: requests, up to the limit.
TRIES = 6
FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0

#: Statuses after which a retry can succeed.
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Refused(Exception):
    """The endpoint rejects this item. The message is the reason."""


class Unreachable(Exception):
    """The endpoint gives no usable answer after every try."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    content: bytes


class VisionModel:
    """A model behind an endpoint."""

    def __init__(self, settings: CaptionSettings, key: str | None, first_wait: float = FIRST_WAIT) -> None:
        self._settings = settings
        self._key = key
        self._first_wait = first_wait
        self._spacing = 60.0 / settings.per_minute if settings.per_minute else 0.0
        self._next_at = 0.0

    async def describe_all(self, questions: Sequence[Sequence[bytes]]) -> list[str | Refused | Unreachable]:
        """Return a caption for each group of JPEG pictures, or the error, in their order."""
        timeout = httpx.Timeout(self._settings.timeout_seconds, connect=10.0)
        # No redirects and no proxies: only the administrator's endpoint gets the pictures.
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client:
            found = await asyncio.gather(
                *(self._describe(client, pictures) for pictures in questions), return_exceptions=True
            )
        answers: list[str | Refused | Unreachable] = []
        for each in found:
            if not isinstance(each, (str, Refused, Unreachable)):
                raise each
            answers.append(each)
        return answers

    async def _describe(self, client: httpx.AsyncClient, pictures: Sequence[bytes]) -> str:
        wait, why = self._first_wait, "no request was sent"
        for _ in range(TRIES):
            await self._take_turn()
            try:
                answer = await asyncio.wait_for(self._request(client, pictures), self._settings.timeout_seconds)
            except (httpx.HTTPError, TimeoutError, OSError) as error:
                why = f"{type(error).__name__}: {error}"[:200]
                answer = None
            if answer is not None and answer.status == 200:
                try:
                    return _caption_in(answer.content)
                except ValueError as error:
                    why = str(error)
            elif answer is not None:
                why = f"the answer was {answer.status}: {_excerpt(answer.content)}"
                if answer.status not in _RETRIED:
                    raise Refused(why)
            await asyncio.sleep(min(LONGEST_WAIT, max(wait, _retry_after(answer))))
            wait *= 2
        raise Unreachable(why)

    async def _take_turn(self) -> None:
        now = time.monotonic()
        at = max(now, self._next_at)
        self._next_at = at + self._spacing
        await asyncio.sleep(at - now)

    async def _request(self, client: httpx.AsyncClient, pictures: Sequence[bytes]) -> _Answer:
        settings = self._settings
        content: list[dict[str, Any]] = [{"type": "text", "text": settings.prompt}]
        for picture in pictures:
            url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        body = {
            "model": settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }
        headers = {"Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        address = f"{settings.endpoint.rstrip('/')}/chat/completions"
        async with client.stream("POST", address, json=body, headers=headers) as response:
            refuse_compressed(response)
            received = b""
            async for part in response.aiter_raw():
                received += part
                if len(received) > MAX_ANSWER:
                    raise httpx.DecodingError("the answer is too long", request=response.request)
            return _Answer(response.status_code, response.headers, received)


def _caption_in(content: bytes) -> str:
    """Return the caption in an answer. Raises ValueError if there is none."""
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("the answer does not follow OpenAI's protocol") from None
    if isinstance(text, list):
        parts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(text, str):
        raise ValueError("the answer has no text")
    return clean_caption(text)


def clean_caption(text: str) -> str:
    """Return the caption in a model's text, as printable lines. Raises ValueError if it is empty."""
    # The reasoning of the model is not part of the caption.
    text = text.rpartition("</think>")[2].strip().strip('"').strip()
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text.encode(errors="replace").decode())
    if not clean:
        raise ValueError("the answer is empty")
    return clean[:MAX_CAPTION]


def _excerpt(content: bytes) -> str:
    return " ".join(content[:300].decode(errors="replace").split())


def _retry_after(answer: _Answer | None) -> float:
    try:
        return 0.0 if answer is None else max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


class CaptionCommand:
    """A program that runs once for each file and prints its caption."""

    def __init__(
        self, settings: CaptionSettings, environment: Mapping[str, str], is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """`environment` is the program's environment, except the prompt and the model."""
        self._argv = settings.command
        self._bound = settings.timeout_seconds
        # A prompt is untrusted: as an argument it could be taken for an option.
        self._environment = {
            **environment,
            "CAPTION_PROMPT": settings.prompt.replace("\0", " "),
            "CAPTION_MODEL": settings.model,
        }
        self._is_stopping = is_stopping

    def describe(self, path: Path) -> str:
        """Return the caption of a file.

        Raises Refused if this file gets no caption, Unreachable if no file would, StopRequested.
        """
        found = self._run(path)
        if found.exit_code != 0:
            raise Refused(f"the command ended with {found.describe_exit().removeprefix('exit ')}{_quote(found.errors)}")
        try:
            return clean_caption(found.output.decode(errors="replace"))
        except ValueError as error:
            raise Refused(f"{error}{_quote(found.errors)}") from None

    def _run(self, path: Path) -> EndedProgram:
        argv = [part.replace(FILE_PLACEHOLDER, str(path)) for part in self._argv]
        try:
            process = start(argv, self._environment, path.parent, has_separate_errors=True)
        except OSError as error:
            raise Unreachable(f"the command cannot be started: {error}"[:ERROR_BYTES]) from None
        try:
            return run_to_end(process, self._bound, MAX_ANSWER, partial(stop_if, self._is_stopping))
        except PrintedTooMuch:
            raise Refused("the command's output is too long") from None
        except TookTooLong:
            raise Unreachable(f"the command took longer than {self._bound:.0f} s") from None


def _quote(errors: bytes) -> str:
    text = " ".join(errors.decode(errors="replace").split())
    return f": {text}" if text else ""
