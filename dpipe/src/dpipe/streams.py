"""Server-Sent Events: lines become messages."""

import json
from dataclasses import dataclass
from typing import Any

from dpipe.errors import NotFound, Unauthorized, bad_answer

#: Seconds without a line after which a stream counts as cut: the server sends a heartbeat every 15 s.
SILENCE_SECONDS = 45.0

#: Seconds for which a stream tries to reconnect before it fails.
RECONNECT_SECONDS = 300.0

_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Event:
    """A message of a stream: its kind ("log", "progress", "status", …), data, and the id to continue after it."""

    kind: str
    data: Any
    id: str | None = None


class Decoder:
    """Decodes one connection. Lines end at line feeds only: texts in a message may contain other separators."""

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the messages that these bytes complete. Raise BadAnswer."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            raise bad_answer("an endless line in a stream")
        found = [message for line in lines if (message := self._take(line.removesuffix(b"\r")))]
        for message in found:
            if message.kind == "closing":
                _raise_for_closing(message)
        return [message for message in found if message.kind != "closing"]

    def _take(self, line: bytes) -> Event | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line and self._data:
            text, self._data = b"\n".join(self._data), []
            return self._read(text)
        if name == b"data":
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode(errors="replace")
        return None

    def _read(self, text: bytes) -> Event:
        try:
            found = json.loads(text)
            return Event(str(found["type"]), found["data"], self.last_id)
        except (ValueError, TypeError, KeyError):
            raise bad_answer("a message of a stream is not JSON with type and data") from None


def _raise_for_closing(message: Event) -> None:
    """Raise the error for which the server ends the stream. After other endings clients reconnect."""
    data = message.data if isinstance(message.data, dict) else {}
    if data.get("code"):
        text = f"The server has closed the stream: {data['code']}."
        raise Unauthorized(text, code=str(data["code"]), status=401, remedy="Use another key: `dpipe login`.")
    if data.get("reason") == "node_gone":
        raise NotFound("The machine has been deleted.", code="node_not_found", status=404)
