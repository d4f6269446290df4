"""Files as responses, streamed by the event loop, whole or in part. No thread waits for a slow client."""

import asyncio
import logging
import os
import re
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol
from urllib.parse import quote

from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.domain.log import LogPart
from api.errors import MalformedRequest, RangeNotSatisfiable, Unavailable
from api.executors.executor import Log
from api.files.weights.rewriting import RewrittenFile
from api.util.clock import time_of
from api.util.files.stored_form import StreamedFile
from api.util.http.documents import names_etag

_ATTEMPTS = 3  # to open the segments while the oldest are being deleted


logger = logging.getLogger(__name__)

#: Bytes of a log that are read and sent at a time, and seconds after which a client that accepts none is disconnected.
CHUNK = 128 * 1024
SEND_SECONDS = 60.0
_RANGE = re.compile(rb"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)

UNREADABLE = "The Range header is invalid. Example: bytes=0-1023 requests the first 1,024 bytes."


@dataclass(frozen=True, slots=True)
class LogDownload:
    """The bytes of a log at one moment. The receiver closes it."""

    name: str
    parts: tuple[LogPart, ...]
    first: int  #: the offset of the first byte in the whole log
    is_inline: bool = False  #: whether a browser displays it instead of saving it

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(part.size for part in self.parts)

    @property
    def tag(self) -> str:
        """The ETag, which changes with the bytes."""
        return f'"{self.first:x}-{self.first + self.size:x}"'

    def read(self, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from an offset, relative to the first byte. Raises OSError."""
        for part in self.parts:
            if offset < part.size:
                return os.pread(part.descriptor, min(limit, part.size - offset), offset)
            offset -= part.size
        return b""

    def close(self) -> None:
        """Close the files."""
        for part in self.parts:
            os.close(part.descriptor)


def open_download(log: Log, name: str, is_inline: bool) -> LogDownload:
    """Open all segments of the log. Raises Unavailable if that fails."""
    for _ in range(_ATTEMPTS):
        try:
            first, parts = log.open_parts()
            return LogDownload(name, parts, first, is_inline)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"The log cannot be opened: {error.strerror}.", headers={"Retry-After": "5"}) from error
    raise Unavailable("The log is being rotated. Try again.", headers={"Retry-After": "1"})


def read_range(header: bytes) -> tuple[int | None, int | None] | None:
    """Return the first and the last requested byte; None for the whole file.

    With None as the first, the second is a count from the end. Several ranges count as the whole file.
    Raises MalformedRequest.
    """
    wanted = header.replace(b" ", b"")
    if not wanted or b"," in wanted:
        return None
    found = _RANGE.fullmatch(wanted)
    if found is None or found[1] == found[2] == b"":
        raise MalformedRequest(UNREADABLE)
    first, last = (int(text) if text else None for text in found.groups())
    if first is not None and last is not None and first > last:
        raise MalformedRequest(UNREADABLE)
    return first, last


class File(Protocol):
    """A regular file opened for reading."""

    @property
    def descriptor(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def modified_at(self) -> float: ...


async def send_download(
    file: File | LogDownload | RewrittenFile | StreamedFile, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send a file, a log, a rewritten model or a generated stream, or the part that Range selects, and close it.

    Raises RangeNotSatisfiable, MalformedRequest. Aborts the connection of a client that has stopped reading a log.
    """
    if not isinstance(file, (LogDownload, RewrittenFile, StreamedFile)):
        await send_file(file, scope, receive, send)
        return
    try:
        await (send_stream(file, scope, send) if isinstance(file, StreamedFile) else send_parts(file, scope, send))
    except TimeoutError as error:
        logger.info("download aborted: %s", str(error) or "the client stopped reading")
        connection = scope.get("extensions", {}).get("connection")
        if connection is not None:
            connection.abort()


async def send_file(file: File, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the file, or the part that Range selects, and close it. Raises RangeNotSatisfiable, MalformedRequest."""

    async def refuse_plain_text(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            if message["status"] == 416:
                raise RangeNotSatisfiable(
                    f"The file has {file.size:,} bytes.", headers={"Content-Range": f"bytes */{file.size}"}
                )
            raise MalformedRequest(UNREADABLE)
        await send(message)

    try:
        response = await asyncio.to_thread(_respond_with, file, dict(scope["headers"]).get(b"if-none-match", b""))
        await response(_with_plain_range(scope), receive, refuse_plain_text)
    finally:
        os.close(file.descriptor)


def _respond_with(file: File, if_none_match: bytes) -> ASGIApp:
    # By its descriptor: another file may have this name by now.
    path = f"/proc/self/fd/{file.descriptor}"
    response = FileResponse(path, filename=_shown_name(file.name), stat_result=_status(file.descriptor))
    # Blobs have a marker as their modification time, which shows whether someone has written to them.
    response.headers["last-modified"] = formatdate(time_of(file.modified_at).timestamp(), usegmt=True)
    if if_none_match and names_etag(if_none_match.decode("latin-1"), response.headers["etag"]):
        headers = {name: response.headers[name] for name in ("etag", "last-modified")}
        return Response(status_code=304, headers=headers)
    return response


def _with_plain_range(scope: Scope) -> Scope:
    """Return the request with a strict Range header: Starlette also accepts `--1` and `+0-1`.

    Several ranges stay as sent.
    """
    wanted = read_range(dict(scope["headers"]).get(b"range", b""))
    if wanted is None:
        return scope
    first, last = ("" if number is None else str(number) for number in wanted)
    headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
    return {**scope, "headers": [*headers, (b"range", f"bytes={first}-{last}".encode())]}


def _shown_name(name: str) -> str:
    """Return the file name for the client, without control characters, which could steer its terminal."""
    return "".join(c if c.isprintable() else "_" for c in name)


def _disposition(name: str) -> str:
    """Return the parameter of Content-Disposition for a file name, also one with letters beyond ASCII."""
    shown = _shown_name(name)
    return f'filename="{_quoted(name)}"' if shown.isascii() else f"filename*=utf-8''{quote(shown, safe='')}"


def _quoted(name: str) -> str:
    return _shown_name(name).replace('"', "_").replace("\\", "_").encode("ascii", "replace").decode()


def _status(descriptor: int) -> os.stat_result:
    """Return the file's status, with its time limited to what an HTTP header can express."""
    found = os.fstat(descriptor)
    seconds = time_of(found.st_mtime).timestamp()
    return os.stat_result((*found[:7], found.st_atime, seconds, found.st_ctime))


async def send_stream(file: StreamedFile, scope: Scope, send: Send) -> None:
    """Send a stream that is generated while it is sent, and close it. Without a known length it has no ranges.

    Raises TimeoutError when the client stops reading or a part cannot be generated. The missing end shows the client
    that the file is incomplete.
    """
    headers = {
        "content-type": file.content_type,
        "content-disposition": f'attachment; filename="{_quoted(file.name)}"',
        "accept-ranges": "none",
    }
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        while scope["method"] != "HEAD" and (part := await asyncio.to_thread(_make, file)) is not None:
            message = {"type": "http.response.body", "body": part, "more_body": True}
            await asyncio.wait_for(send(message), SEND_SECONDS)
        await send({"type": "http.response.body", "body": b""})
    finally:
        await asyncio.to_thread(file.close)


def _make(file: StreamedFile) -> bytes | None:
    try:
        return file.next_part()
    except OSError as error:
        raise TimeoutError(f"{file.name} cannot be generated: {error.strerror}") from error


async def send_parts(file: LogDownload | RewrittenFile, scope: Scope, send: Send) -> None:
    """Send a log or a model, or the part that Range selects, and close it.

    Raises RangeNotSatisfiable, MalformedRequest; TimeoutError when the client stops reading.
    """
    try:
        headers = dict(scope["headers"])
        if names_etag(headers.get(b"if-none-match", b"").decode("latin-1"), file.tag):
            await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", file.tag.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        part = _part(headers, file)
        begin, end = part or (0, file.size)
        await send({"type": "http.response.start", "status": 206 if part else 200, "headers": _headers(file, part)})
        if scope["method"] == "HEAD" or begin == end:
            await send({"type": "http.response.body", "body": b""})
            return
        while begin < end:
            content = await asyncio.to_thread(file.read, begin, min(CHUNK, end - begin))
            if not content:
                # The announced Content-Length cannot be met.
                raise TimeoutError(f"{file.name} became shorter")
            begin += len(content)
            message = {"type": "http.response.body", "body": content, "more_body": begin < end}
            await asyncio.wait_for(send(message), SEND_SECONDS)
    finally:
        file.close()


def _headers(file: LogDownload | RewrittenFile, part: tuple[int, int] | None) -> list[tuple[bytes, bytes]]:
    begin, end = part or (0, file.size)
    kind = "text/plain; charset=utf-8" if file.is_inline else "application/octet-stream"
    place = "inline" if file.is_inline else "attachment"
    headers = {
        "content-type": kind,
        "content-length": str(end - begin),
        "content-disposition": f"{place}; {_disposition(file.name)}",
        "accept-ranges": "bytes",
        "etag": file.tag,
        **({} if part is None else {"content-range": f"bytes {begin}-{end - 1}/{file.size}"}),
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _part(headers: dict[bytes, bytes], file: LogDownload | RewrittenFile) -> tuple[int, int] | None:
    """Return begin and end (exclusive) of the requested bytes; None for all, also when several ranges are requested."""
    wanted = read_range(headers.get(b"range", b""))
    if wanted is None or headers.get(b"if-range", file.tag.encode()) != file.tag.encode():
        return None
    first, last = wanted
    if first is None:
        begin, end = max(0, file.size - (last or 0)), file.size
    else:
        begin, end = first, min(file.size, (file.size if last is None else last) + 1)
    if begin >= end:
        raise RangeNotSatisfiable(
            f"The file has {file.size:,} bytes.", headers={"Content-Range": f"bytes */{file.size}"}
        )
    return begin, end
