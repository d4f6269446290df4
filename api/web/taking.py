"""Bodies that go to disk and not into memory: which operations have them, and how they stand beside Flask's answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Receive, Scope

from api.errors import MalformedRequest, UnsupportedMediaType
from api.web.body import AS_IT_IS
from api.web.reply import Headers
from api.web.wsgi import WSGIAnswer


@dataclass(frozen=True, slots=True)
class BodyRequest:
    """A request whose body has not been read."""

    scope: Scope
    headers: Headers
    receive: Receive
    arguments: Mapping[str, str]  #: the variable parts of its address

    @property
    def announced(self) -> int | None:
        """Bytes that its body has; None: it comes in chunks, and does not say."""
        if b"transfer-encoding" in self.headers:
            return None
        return int(self.headers.get(b"content-length", b"0"))

    @property
    def has_body(self) -> bool:
        """Whether a body comes, or may come."""
        return self.announced != 0

    @property
    def content_type(self) -> str:
        """The type of the body, without its parameters."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    def require_plain(self) -> None:
        """Raises UnsupportedMediaType for a body that is packed on its way."""
        if self.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise UnsupportedMediaType(AS_IT_IS)
        if self.headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise UnsupportedMediaType("The body may come in chunks, and not otherwise encoded.")

    def number(self, name: str) -> int | None:
        """The number in a header; None without one. Raises MalformedRequest."""
        text = self.headers.get(name.lower().encode())
        if text is None:
            return None
        if not (text.isdigit() and len(text) <= 18):
            raise MalformedRequest(f"{name} must be a number of bytes, such as 0.")
        return int(text)


class BodyTaker(Protocol):
    """Takes the bodies of one operation to disk, before or after Flask has answered it with an empty one."""

    async def before(self, request: BodyRequest) -> None:
        """What is done before Flask is asked. Whatever it raises is the answer."""
        ...

    async def after(self, request: BodyRequest, answer: WSGIAnswer) -> WSGIAnswer:
        """What is done once Flask has answered; returns what is sent."""
        ...
