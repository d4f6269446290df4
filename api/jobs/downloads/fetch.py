"""Fetches one file: in parts over any number of cuts and kills, checked by size and hash, and only then named."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import httpx

from api.domain.cause import CauseCode
from api.domain.reason import Reason, Words, text_of
from api.jobs.downloads.answers import judge_answer
from api.jobs.downloads.contents import check_content
from api.jobs.downloads.http import LEAST_SPEED, SLOW_SECONDS
from api.jobs.downloads.leftovers import INCOMING
from api.jobs.downloads.names import place_below
from api.jobs.downloads.refusal import DownloadRefused, StopAsked, private_address
from api.jobs.downloads.waiting import Patience, wait
from api.util.addresses import PrivateAddress
from api.util.durable import sync_directory

#: Whoever trains reads it, and may be another user of the directory's group.
_MODE = 0o640

#: Read and written at a time.
_CHUNK = 1024 * 1024

#: A try that brings less of a file than this, and not its end, is no progress: else a server that gives some bytes and
#: cuts would be asked for years.
_LEAST_BYTES = 64 * 1024

#: Bytes that come between two looks at the disk's room.
_LOOK_BYTES = 64 * 2**20

#: Mistakes in a redirect, which no other try betters.
NEVER_BETTER = (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL)


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
    may_replace: bool = True  #: another file under its name is an older one of the same
    headers: Mapping[str, str] | None = None  #: sent to its own host only

    @property
    def is_known(self) -> bool:
        """Whether it can be told from another file of its length."""
        return self.sha256 is not None or self.git_sha1 is not None

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
    clock: Callable[[], float] = time.monotonic
    require_allowance: Callable[[], None] = lambda: None  #: raises DownloadRefused where the owner's quota is full
    min_free_bytes: int = 0  #: what stays free of the disk, whatever comes


def fetch(file: RemoteFile, around: Around) -> Path:
    """The file under its name, whole. Raises DownloadRefused, StopAsked, OSError."""
    place = place_below(around.root, file.directory, file.name)
    incoming = around.root / INCOMING
    incoming.mkdir(mode=0o700, exist_ok=True)
    part, lock = incoming / f"{file.key}.part", incoming / f"{file.key}.lock"
    with _alone(lock, lambda: _wait_for_turn(around)):
        try:
            # Another task may have fetched it while this one waited for its turn.
            if not is_there(file, place, around):
                _bring_to(place, file, part, around)
            return place
        finally:
            if not part.exists() or part.stat().st_size == 0:
                part.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)


def _bring_to(place: Path, file: RemoteFile, part: Path, around: Around) -> None:
    if file.may_replace:
        _bring(place, file, part, around)
        return
    # The name is reserved while the file comes: another file of this name is refused before its first byte.
    reservation = part.with_name(f"{hashlib.sha256(str(place).encode()).hexdigest()}.lock")
    with _alone(reservation, lambda: _refuse_name(file)):
        try:
            _bring(place, file, part, around)
        finally:
            reservation.unlink(missing_ok=True)


def _bring(place: Path, file: RemoteFile, part: Path, around: Around) -> None:
    _require_place(file, place)
    _fetch_part(file, part, around)
    around.tell(part.stat().st_size, "verifying")
    try:
        _check(file, part, around)
    except DownloadRefused:
        part.unlink(missing_ok=True)
        raise
    part.chmod(_MODE)
    _require_place(file, place)
    os.replace(part, place)
    with suppress(OSError):
        sync_directory(place.parent)


def is_there(file: RemoteFile, place: Path, around: Around) -> bool:
    """Whether the file is there already, with the size and hash that it must have."""
    if not place.is_file() or (file.size is not None and place.stat().st_size != file.size):
        return False
    around.tell(place.stat().st_size, "verifying")
    return (file.size is not None or file.is_known) and _hashes_fit(file, place, around)


def _require_place(file: RemoteFile, place: Path) -> None:
    """Whether its name is free: of two files that are called alike neither takes the other's.

    Raises DownloadRefused.
    """
    if not file.may_replace and os.path.lexists(place):
        _refuse_name(file)


def _refuse_name(file: RemoteFile) -> NoReturn:
    raise DownloadRefused(
        Reason.of(
            "There is another file {name} already, or another download of one: give this one another `name`.",
            "download_name_taken",
            name=f"{file.directory}/{file.name}",
        ),
        CauseCode.REFUSED_FILE,
    )


def _fetch_part(file: RemoteFile, part: Path, around: Around) -> None:
    """Brings what is missing of a file. Raises DownloadRefused, StopAsked, OSError."""
    patience = Patience(around.is_stopping, around.sleep)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            before = os.fstat(handle).st_size
            if file.size is not None and before == file.size:
                os.fsync(handle)
                return
            if file.size is not None and before > file.size:
                os.ftruncate(handle, 0)
            problem, asked_wait = _request(file, handle, around)
            if problem is None:
                os.fsync(handle)
                return
            if os.fstat(handle).st_size - before >= _LEAST_BYTES:
                patience.note_progress()
            if patience.is_exhausted:
                told = Reason.of(
                    "{name} cannot be downloaded: {problem}. What is there of it is kept.",
                    "download_broken_off",
                    name=file.name,
                    problem=problem,
                )
                raise DownloadRefused(told, CauseCode.NETWORK)
            around.warn(f"{file.name}: {text_of(problem)}; it is tried again")
            patience.wait(asked_wait)
    finally:
        os.close(handle)


def _request(file: RemoteFile, handle: int, around: Around) -> tuple[Words | None, float | None]:
    """One request for the rest of a file: None when it is whole, else what went wrong and how long to wait."""
    if not file.is_known:  # nothing would tell that the rest is of another file by now
        os.ftruncate(handle, 0)
    there = os.fstat(handle).st_size
    headers = dict(file.headers or {})
    if there:
        headers["Range"] = f"bytes={there}-"
    try:
        with around.client.stream("GET", file.url, headers=headers) as response:
            refused = judge_answer(file.name, response)
            if refused is not None:
                return refused
            if response.status_code == 416:
                os.ftruncate(handle, 0)
                return Reason.of("what is there of it does not fit", "download_no_fit"), 0.0
            if response.status_code == 200 or not _continues(response, there):
                os.ftruncate(handle, 0)
                if response.status_code == 206:
                    return Reason.of("another part came than was asked for", "download_other_part"), 0.0
            return _write(file, response, handle, around)
    except PrivateAddress as error:
        raise private_address(error) from None
    except NEVER_BETTER as error:
        told = Reason.of(
            "{name} cannot be downloaded: {problem}.", "download_not_reached", name=file.name, problem=_short(error)
        )
        raise DownloadRefused(told, cause_of(error)) from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        return _short(error), None


def _write(
    file: RemoteFile, response: httpx.Response, handle: int, around: Around
) -> tuple[Words | None, float | None]:
    position = looked_at = os.fstat(handle).st_size
    since, then = around.clock(), position
    for chunk in response.iter_raw():  # without a size: what has come is kept when the rest does not
        if around.is_stopping():
            raise StopAsked
        if position - looked_at >= _LOOK_BYTES:
            _require_room(file, handle, around)
            around.require_allowance()
            looked_at = position
        if file.size is not None and position + len(chunk) > file.size:
            os.ftruncate(handle, 0)
            told = Reason.of("{name} is longer than it was said to be.", "download_too_long", name=file.name)
            raise DownloadRefused(told, CauseCode.WRONG_HASH)
        view = memoryview(chunk)
        while view:
            view = view[os.pwrite(handle, view, position + len(chunk) - len(view)) :]
        position += len(chunk)
        around.tell(position, "downloading")
        if (now := around.clock()) - since >= SLOW_SECONDS:
            if position - then < LEAST_SPEED * (now - since):
                return Reason.of(
                    "no more than {bytes} bytes a second came for {seconds} s",
                    "download_slow",
                    bytes=LEAST_SPEED,
                    seconds=int(SLOW_SECONDS),
                ), None
            since, then = now, position
    if file.size is not None and position < file.size:
        return Reason.of(
            "the connection ended {count} bytes too early", "download_cut", count=f"{file.size - position:,}"
        ), None
    return None, None


def _require_room(file: RemoteFile, handle: int, around: Around) -> None:
    """Whether the disk still has room: others fill it, too, and not every file tells its size.

    Raises DownloadRefused.
    """
    found = os.fstatvfs(handle)
    if found.f_bavail * found.f_frsize < around.min_free_bytes:
        raise DownloadRefused(
            Reason.of(
                "There is too little disk space for the rest of {name}. What is there of it is kept.",
                "download_disk_full",
                name=file.name,
            ),
            CauseCode.DISK_FULL,
        )


def _continues(response: httpx.Response, there: int) -> bool:
    """Whether an answer begins where what is there ends."""
    return str(response.headers.get("content-range", "")).startswith(f"bytes {there}-")


def _check(file: RemoteFile, part: Path, around: Around) -> None:
    """Whether the whole file is what it must be. Raises DownloadRefused."""
    if not _hashes_fit(file, part, around):
        raise DownloadRefused(
            Reason.of(
                "{name} is not what it must be: its hash is another. It was thrown away.",
                "download_wrong_hash",
                name=file.name,
            ),
            CauseCode.WRONG_HASH,
        )
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
def _alone(path: Path, on_held: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; `on_held` is called, again and again, while another task holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(handle, on_held)
            # Whoever had it may have removed it, and somebody else may hold another one by now.
            if _is_named(handle, path):
                yield
                return
        finally:
            os.close(handle)


def _lock(handle: int, on_held: Callable[[], None]) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            on_held()


def _wait_for_turn(around: Around) -> None:
    """Another task fetches the same file. Raises StopAsked."""
    around.tell(0, "waiting")
    wait(0.2, around.is_stopping, around.sleep)


def _is_named(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def cause_of(error: Exception) -> CauseCode:
    """What it is that another try does not better: an address that is none, or redirects without an end."""
    return CauseCode.NETWORK if isinstance(error, httpx.TooManyRedirects) else CauseCode.REFUSED_ADDRESS


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200].rstrip(".") or type(error).__name__
