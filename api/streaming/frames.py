"""Messages in their transport format, encoded once for all subscribers."""

from api.streaming.models import MessageType, StreamEnding
from api.util.http.envelope import encode_message

#: Types that are sent as named events, which EventSource passes to their own listeners instead of `onmessage`.
_NAMED = (MessageType.END, MessageType.CLOSING)


class Frame:
    """A message ready to be sent: its JSON, and the id that a reconnecting client sends."""

    __slots__ = ("_event", "_shows_id", "_text", "id", "json", "type")

    def __init__(self, type_: MessageType, json: bytes, id_: str | None = None, *, shows_id: bool = True) -> None:
        """Create the frame.

        With `shows_id`, a WebSocket message, which has no id of its own, contains it as a field of the JSON.
        """
        self.type = type_
        self.json = json
        self.id = id_
        self._shows_id = shows_id
        self._event: bytes | None = None
        self._text: str | None = None

    @property
    def event(self) -> bytes:
        """The bytes of a Server-Sent Event."""
        if self._event is None:
            name = b"event: %b\n" % self.type.encode() if self.type in _NAMED else b""
            number = b"" if self.id is None else b"id: %b\n" % self.id.encode()
            self._event = b"%b%bdata: %b\n\n" % (name, number, self.json)
        return self._event

    @property
    def text(self) -> str:
        """The text of a WebSocket message."""
        if self._text is None:
            text = self.json.decode()
            self._text = text if self.id is None or not self._shows_id else f'{{"id":"{self.id}",{text[1:]}'
        return self._text


def closing_frame(reason: StreamEnding, **more: str) -> Frame:
    """Return the last frame of a stream that the server ends. `more` is added to the reason."""
    return Frame(MessageType.CLOSING, encode_message(MessageType.CLOSING, {"reason": reason, **more}))


def reset_frame(id_: str | None = None) -> Frame:
    """Return the frame that signals that the client's id is unknown, so that missed messages are not sent."""
    return Frame(MessageType.RESET, encode_message(MessageType.RESET, None), id_)
