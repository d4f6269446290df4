"""Request bodies that go to disk instead of memory, and the protocol of their handlers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Receive, Scope

from api.errors import MalformedRequest, UnsupportedMediaType
from api.web.body import AS_IT_IS
from api.web.reply import Headers
from api.web.wsgi import WSGIResponse


@dataclass(frozen=True, slots=True)
class BodyRequest:
    """A request whose body has not been read."""

    scope: Scope
    headers: Headers
    receive: Receive
    arguments: Mapping[str, str]  #: the variable parts of the address

    @property
    def announced(self) -> int | None:
        """The announced bytes of the body; None for a chunked body."""
        if b"transfer-encoding" in self.headers:
            return None
        return int(self.headers.get(b"content-length", b"0"))

    @property
    def has_body(self) -> bool:
        """Whether a body may follow."""
        return self.announced != 0

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    def require_plain(self) -> None:
        """Raise UnsupportedMediaType for a compressed body."""
        if self.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise UnsupportedMediaType(AS_IT_IS)
        if self.headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise UnsupportedMediaType("Transfer-Encoding must be chunked or absent.")

    def number(self, name: str) -> int | None:
        """Return the number in a header; None without one. Raises MalformedRequest."""
        text = self.headers.get(name.lower().encode())
        if text is None:
            return None
        if not (text.isdigit() and len(text) <= 18):
            raise MalformedRequest(f"{name} must be a number of bytes, such as 0.")
        return int(text)


class BodyHandler(Protocol):
    """Stores the bodies of one operation on disk, before or after Flask handles it with an empty body."""

    async def before(self, request: BodyRequest) -> None:
        """Run before Flask; an exception is the response."""
        ...

    async def after(self, request: BodyRequest, answer: WSGIResponse) -> WSGIResponse:
        """Run after Flask; return the response to send."""
        ...
