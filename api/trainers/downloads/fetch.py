"""Fetches one file: in parts over any number of cuts and kills, checked by size and hash, and only then named."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from api.trainers.downloads.contents import check_content
from api.trainers.downloads.names import place_below
from api.trainers.downloads.refusal import DownloadRefused, StopAsked
from api.utils.addresses import PrivateAddress

#: Where files lie until they are whole, below the root: on its file system, and under names that nobody looks for.
INCOMING = ".incoming"

#: Read and written at a time.
_CHUNK = 1024 * 1024

#: Tries in a row without a byte that are made, and the seconds between them: doubled each time, up to the bound.
MOST_TRIES, FIRST_WAIT, LONGEST_WAIT = 8, 1.0, 60.0

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that is to be had. Of hashes those that are known are checked."""

    url: str
    directory: str  #: below the root
    name: str  #: below the directory
    size: int | None
    sha256: str | None = None
    git_sha1: str | None = None  #: git's name of its content
    is_pinned: bool = False  #: whoever asked gave the hash
    headers: Mapping[str, str] | None = None  #: sent to its own host only

    @property
    def key(self) -> str:
        """By what parts of it are found again, whatever task has fetched them."""
        known = self.sha256 or self.git_sha1 or ""
        return hashlib.sha256(f"{self.url}\n{self.directory}/{self.name}\n{known}\n{self.size}".encode()).hexdigest()


@dataclass(slots=True)
class Around:
    """What fetching needs besides the file."""

    root: Path
    client: httpx.Client
    allows_pickles: bool
    tell: Callable[[int, str], None]  #: bytes that are there, and what is done with them
    warn: Callable[[str], None]
    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None] = time.sleep


def fetch(file: RemoteFile, around: Around) -> Path:
    """The file under its name, whole. Raises DownloadRefused, StopAsked, OSError."""
    place = place_below(around.root, file.directory, file.name)
    incoming = around.root / INCOMING
    incoming.mkdir(mode=0o700, exist_ok=True)
    with _alone(incoming / f"{file.key}.lock", around):
        # Another task may have fetched it while this one waited for its turn.
        if is_there(file, place, around):
            (incoming / f"{file.key}.lock").unlink(missing_ok=True)
            return place
        part = incoming / f"{file.key}.part"
        _fetch_part(file, part, around)
        around.tell(part.stat().st_size, "verifying")
        try:
            _check(file, part, around)
        except DownloadRefused:
            part.unlink(missing_ok=True)
            raise
        os.replace(part, place)
        _sync(place.parent)
        # Whoever waits for it finds the file in its place.
        (incoming / f"{file.key}.lock").unlink(missing_ok=True)
        return place


def remove_leftovers(root: Path, older_than_seconds: float) -> None:
    """Removes what is there of files that nobody has gone on with for so long, unless somebody is at it now."""
    now = time.time()
    for part in (root / INCOMING).glob("*.part"):
        with suppress(OSError):
            if now - part.stat().st_mtime < older_than_seconds:
                continue
            lock = part.with_suffix(".lock")
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
                lock.unlink()
            finally:
                os.close(handle)


def is_there(file: RemoteFile, place: Path, around: Around) -> bool:
    """Whether the file is there already, with the size and hash that it must have."""
    if not place.is_file() or (file.size is not None and place.stat().st_size != file.size):
        return False
    around.tell(place.stat().st_size, "verifying")
    return file.size is not None and _hashes_fit(file, place, around)


def _fetch_part(file: RemoteFile, part: Path, around: Around) -> None:
    """Brings what is missing of a file. Raises DownloadRefused, StopAsked, OSError."""
    tries, wait = 0, FIRST_WAIT
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            before = os.fstat(handle).st_size
            if file.size is not None and before == file.size:
                os.fsync(handle)
                return
            if file.size is not None and before > file.size:
                os.ftruncate(handle, 0)
            problem, asked_wait = _bring(file, handle, around)
            if problem is None:
                os.fsync(handle)
                return
            if os.fstat(handle).st_size > before:
                tries, wait = 0, FIRST_WAIT
            tries += 1
            if tries > MOST_TRIES:
                raise DownloadRefused(f"{file.name} cannot be downloaded: {problem}. What is there of it is kept.")
            around.warn(f"{file.name}: {problem}; it is tried again")
            _wait(asked_wait if asked_wait is not None else wait, around)
            wait = min(wait * 2, LONGEST_WAIT)
    finally:
        os.close(handle)


def _bring(file: RemoteFile, handle: int, around: Around) -> tuple[str | None, float | None]:
    """One request for the rest of a file: None when it is whole, else what went wrong and how long to wait."""
    there = os.fstat(handle).st_size
    headers = dict(file.headers or {})
    if there:
        headers["Range"] = f"bytes={there}-"
    try:
        with around.client.stream("GET", file.url, headers=headers) as response:
            refused = _judge(file, response)
            if refused is not None:
                return refused
            if response.status_code == 416:
                os.ftruncate(handle, 0)
                return "what is there of it does not fit", 0.0
            if response.status_code == 200 or not _continues(response, there):
                os.ftruncate(handle, 0)
                if response.status_code == 206:
                    return "another part came than was asked for", 0.0
            return _write(file, response, handle, around)
    except PrivateAddress as error:
        raise DownloadRefused(f"{error}.") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        return (str(error) or type(error).__name__)[:200], None


def _write(file: RemoteFile, response: httpx.Response, handle: int, around: Around) -> tuple[str | None, float | None]:
    position = os.fstat(handle).st_size
    for chunk in response.iter_raw():  # without a size: what has come is kept when the rest does not
        if around.is_stopping():
            raise StopAsked
        if file.size is not None and position + len(chunk) > file.size:
            os.ftruncate(handle, 0)
            raise DownloadRefused(f"{file.name} is longer than its repository says.")
        view = memoryview(chunk)
        while view:
            view = view[os.pwrite(handle, view, position + len(chunk) - len(view)) :]
        position += len(chunk)
        around.tell(position, "downloading")
    if file.size is not None and position < file.size:
        return f"the connection ended {file.size - position:,} bytes too early", None
    return None, None


def _judge(file: RemoteFile, response: httpx.Response) -> tuple[str, float | None] | None:
    """What is wrong with an answer, if trying again can help. Raises DownloadRefused if not."""
    status = response.status_code
    if status in (200, 206, 416):
        return None
    if status in _RETRIED:
        return f"the server answers {status}", _retry_after(response)
    if status in (401, 403):
        raise DownloadRefused(
            f"The server answers {status} for {file.name}: it needs a token with access. Accept the licence on the"
            " repository's page, and give a token (HF_TOKEN)."
        )
    raise DownloadRefused(f"The server answers {status} for {file.name}.")


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _continues(response: httpx.Response, there: int) -> bool:
    """Whether an answer begins where what is there ends."""
    return str(response.headers.get("content-range", "")).startswith(f"bytes {there}-")


def _check(file: RemoteFile, part: Path, around: Around) -> None:
    """Whether the whole file is what it must be. Raises DownloadRefused."""
    if not _hashes_fit(file, part, around):
        raise DownloadRefused(f"{file.name} is not what it must be: its hash is another. It was thrown away.")
    check_content(part, file.name, allows_pickles=around.allows_pickles or file.is_pinned)


def _hashes_fit(file: RemoteFile, path: Path, around: Around) -> bool:
    size = path.stat().st_size
    kinds: list[tuple[_Hash, str]] = []
    if file.sha256 is not None:
        kinds.append((hashlib.sha256(), file.sha256))
    elif file.git_sha1 is not None:
        named: _Hash = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        kinds.append((named, file.git_sha1))
    if not kinds:
        return bool(file.size is None or size == file.size)
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            if around.is_stopping():
                raise StopAsked
            for each, _ in kinds:
                each.update(chunk)
    return all(each.hexdigest() == expected for each, expected in kinds)


@contextmanager
def _alone(path: Path, around: Around) -> Iterator[None]:
    """Holds a file's lock; another task that fetches the same file waits, and stops when it is asked to."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                around.tell(0, "waiting")
                _wait(0.2, around)
        yield
    finally:
        os.close(handle)


def _wait(seconds: float, around: Around) -> None:
    """Waits, and looks meanwhile whether it shall stop. Raises StopAsked."""
    left = seconds
    while True:
        if around.is_stopping():
            raise StopAsked
        if left <= 0:
            return
        around.sleep(min(left, 0.5))
        left -= 0.5


def _sync(directory: Path) -> None:
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
