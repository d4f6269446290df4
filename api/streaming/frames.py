"""Messages as they go over the wire: framed once, however many subscribers get them."""

from api.streaming.models import MessageType, StreamEnding
from api.util.envelope import encode_message

#: Types that are sent as events of that name, which EventSource hands to their own listeners instead of `onmessage`.
_NAMED = (MessageType.END, MessageType.CLOSING)


class Frame:
    """A message ready to be sent: its JSON, and the id that a returning client names."""

    __slots__ = ("_event", "_shows_id", "_text", "id", "json", "type")

    def __init__(self, type_: MessageType, json: bytes, id_: str | None = None, *, shows_id: bool = True) -> None:
        """`shows_id`: a WebSocket, which has no place for an id, gets it as a field of the JSON."""
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
        """The text of a WebSocket's message."""
        if self._text is None:
            text = self.json.decode()
            self._text = text if self.id is None or not self._shows_id else f'{{"id":"{self.id}",{text[1:]}'
        return self._text


def closing_frame(reason: StreamEnding, **more: str) -> Frame:
    """The last word of a stream that the server ends by itself; `more` stands beside the reason."""
    return Frame(MessageType.CLOSING, encode_message(MessageType.CLOSING, {"reason": reason, **more}))


def reset_frame(id_: str | None = None) -> Frame:
    """The frame that tells a client that its id is not known, so that what it missed is not sent."""
    return Frame(MessageType.RESET, encode_message(MessageType.RESET, None), id_)
