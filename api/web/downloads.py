"""Files as responses, streamed by the event loop, whole or in part. No thread waits for a slow client."""

import asyncio
import logging
import os
from email.utils import formatdate
from typing import Protocol

from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MalformedRequest, RangeNotSatisfiable
from api.util.clock import time_of
from api.util.documents import names_etag
from api.util.streamed_file import StreamedFile
from api.web.log_download import LogDownload
from api.web.ranges import UNREADABLE, read_range

logger = logging.getLogger(__name__)

#: Bytes of a log that are read and sent at a time, and seconds after which a client that accepts none is disconnected.
CHUNK = 128 * 1024
SEND_SECONDS = 60.0


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


async def send_download(file: File | LogDownload | StreamedFile, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a file, a log or a generated stream, or the part that Range selects, and close it.

    Raises RangeNotSatisfiable, MalformedRequest. Aborts the connection of a client that has stopped reading a log.
    """
    if not isinstance(file, (LogDownload, StreamedFile)):
        await send_file(file, scope, receive, send)
        return
    try:
        await (send_log(file, scope, send) if isinstance(file, LogDownload) else send_stream(file, scope, send))
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


async def send_log(log: LogDownload, scope: Scope, send: Send) -> None:
    """Send a log, or the part that Range selects, and close it. Raises RangeNotSatisfiable, MalformedRequest.

    Raises TimeoutError when the client stops reading.
    """
    try:
        headers = dict(scope["headers"])
        part = _part(headers, log)
        begin, end = part or (0, log.size)
        await send({"type": "http.response.start", "status": 206 if part else 200, "headers": _headers(log, part)})
        if scope["method"] == "HEAD" or begin == end:
            await send({"type": "http.response.body", "body": b""})
            return
        while begin < end:
            content = await asyncio.to_thread(log.read, begin, min(CHUNK, end - begin))
            if not content:
                # The announced Content-Length cannot be met.
                raise TimeoutError("the log became shorter")
            begin += len(content)
            message = {"type": "http.response.body", "body": content, "more_body": begin < end}
            await asyncio.wait_for(send(message), SEND_SECONDS)
    finally:
        log.close()


def _headers(log: LogDownload, part: tuple[int, int] | None) -> list[tuple[bytes, bytes]]:
    begin, end = part or (0, log.size)
    kind = "text/plain; charset=utf-8" if log.is_inline else "application/octet-stream"
    place = "inline" if log.is_inline else "attachment"
    headers = {
        "content-type": kind,
        "content-length": str(end - begin),
        "content-disposition": f'{place}; filename="{log.name}"',
        "accept-ranges": "bytes",
        "etag": _tag(log),
        **({} if part is None else {"content-range": f"bytes {begin}-{end - 1}/{log.size}"}),
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _tag(log: LogDownload) -> str:
    """Return the ETag of a log; it changes with the log's bytes."""
    return f'"{log.first:x}-{log.first + log.size:x}"'


def _part(headers: dict[bytes, bytes], log: LogDownload) -> tuple[int, int] | None:
    """Return begin and end (exclusive) of the requested bytes; None for all, also when several ranges are requested."""
    wanted = read_range(headers.get(b"range", b""))
    if wanted is None or headers.get(b"if-range", _tag(log).encode()) != _tag(log).encode():
        return None
    first, last = wanted
    if first is None:
        begin, end = max(0, log.size - (last or 0)), log.size
    else:
        begin, end = first, min(log.size, (log.size if last is None else last) + 1)
    if begin >= end:
        raise RangeNotSatisfiable(f"The log has {log.size:,} bytes.", headers={"Content-Range": f"bytes */{log.size}"})
    return begin, end
