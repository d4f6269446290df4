"""Uploads: their rate compared with `dd` through loopback, and their memory."""

import base64
import http.client
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.rows import MEGABYTES, TIMES, Row, Unit, at_least, below, without_limit
from benchmarks.servers import Running, service

_UPLOADS = "/api/v1/uploads"
_MB = 1024 * 1024
_RATE = Unit("{:,.0f} MB/s")

#: Minimum rate of an upload as a share of the rate of dd, and the maximum memory that it may add.
RATE_LIMIT = 0.7
MEMORY_LIMIT_MB = 60.0

#: Bytes of file that are made at a time.
_PIECE = os.urandom(_MB)


def measure(effort: Effort) -> Iterator[Row]:
    """Upload one file by tus and by form, each compared with dd in the same round."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        file = _make_file(Path(folder) / "file", effort.upload_mb)
        with service(STORAGE_ROOT=f"{folder}/storage", MIN_FREE_DISK_MB="100") as server:
            _send_part(server, file)
            before = server.rss_mb()
            copied, by_tus, by_form = [], [], []
            for _ in range(effort.rounds):
                copied.append(_copy(file, Path(folder) / "copy"))
                by_tus.append(_send_part(server, file))
                by_form.append(_send_form(server, file))
            memory = server.memory_peak_mb() - before
    beside = f"{_RATE.show(statistics.median(copied))} dd"
    for what, rates in (("tus", by_tus), ("form", by_form)):
        share = statistics.median(rate / rate_of_dd for rate, rate_of_dd in zip(rates, copied, strict=True))
        note = _RATE.show(statistics.median(rates))
        yield at_least(f"{effort.upload_mb:,} MB by {what}: rate beside dd", share, RATE_LIMIT, TIMES, beside, note)
    yield below(
        f"{effort.upload_mb:,} MB: memory at its highest, above that before", memory, MEMORY_LIMIT_MB, MEGABYTES
    )
    yield without_limit("dd through loopback, to the disk", statistics.median(copied), _RATE)


def _make_file(path: Path, megabytes: int) -> Path:
    with path.open("wb") as file:
        for number in range(megabytes):
            file.write(_PIECE[number % 997 :] + _PIECE[: number % 997])
    return path


def _copy(source: Path, target: Path) -> float:
    """Return MB per second of dd that sends the file through a socket to another dd, which writes it to disk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.perf_counter()
        writer = threading.Thread(target=_receive, args=(listener, target))
        writer.start()
        with socket.create_connection(listener.getsockname()) as sender:
            subprocess.run(["dd", f"if={source}", "bs=1M", "status=none"], stdout=sender.fileno(), check=True)
        writer.join()
    rate = source.stat().st_size / _MB / (time.perf_counter() - began)
    target.unlink()
    return rate


def _receive(listener: socket.socket, target: Path) -> None:
    command = ["dd", f"of={target}", "bs=1M", "iflag=fullblock", "conv=fdatasync", "status=none"]
    connection, _ = listener.accept()
    with connection:
        subprocess.run(command, stdin=connection.fileno(), check=True)


def _send_part(server: Running, file: Path) -> float:
    """Return MB per second of an upload by tus, which is deleted afterwards."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    metadata = ",".join(f"{name} {base64.b64encode(text).decode()}" for name, text in _SAID.items())
    size = file.stat().st_size
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": metadata}
    url = _ask(connection, "POST", _UPLOADS, headers).headers["location"]
    part = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    began = time.perf_counter()
    _send_file(connection, "PATCH", url, part, b"", file, b"")
    rate = size / _MB / (time.perf_counter() - began)
    _take_away(connection, url)
    return rate


def _send_form(server: Running, file: Path) -> float:
    """Return MB per second of an upload by form."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    head = b'--X\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n\r\n'
    began = time.perf_counter()
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    _send_file(connection, "POST", "/api/v1/preprocess/upload", headers, head, file, b"\r\n--X--\r\n")
    return file.stat().st_size / _MB / (time.perf_counter() - began)


#: Metadata of an upload that is not an image, so that it is not processed.
_SAID = {"dataset": b"benchmark", "filename": b"x.bin"}


def _send_file(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    head: bytes,
    file: Path,
    tail: bytes,
) -> None:
    connection.putrequest(method, path)
    for name, value in {**headers, "Content-Length": str(len(head) + file.stat().st_size + len(tail))}.items():
        connection.putheader(name, value)
    connection.endheaders(head)
    with file.open("rb") as content:
        connection.sock.sendfile(content)
    connection.send(tail)
    answer = connection.getresponse()
    answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path} was answered with {answer.status}")


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def _take_away(connection: http.client.HTTPConnection, url: str) -> None:
    # An upload cannot be deleted while it is inspected.
    while _ask(connection, "DELETE", url, {"Tus-Resumable": "1.0.0"}).status == 409:
        time.sleep(0.05)
