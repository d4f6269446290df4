"""Fetch one file: resumed after any number of interruptions, verified, and only then moved to its path."""

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

from api.domain.models.weights import FileForm
from api.domain.reason import Reason, ReasonOrText, text_of
from api.domain.tasks.cause import CauseCode
from api.files.weights.examination import examine
from api.jobs.downloads.allowance import INCOMING
from api.jobs.downloads.answers import Patience, judge_answer, wait
from api.jobs.downloads.http import LEAST_SPEED, SLOW_SECONDS, private_address
from api.jobs.downloads.request import path_below
from api.jobs.errors import JobFailed, stop_if
from api.util.files.outside_files import sync_directory
from api.util.http.addresses import PrivateAddress

#: Readable for the group, because trainers may run as another user.
_MODE = 0o640

#: Bytes per read.
_CHUNK = 1024 * 1024

#: Minimum bytes of a try that count as progress. Otherwise a server that sends a few bytes per connection would be
#: retried forever.
_LEAST_BYTES = 64 * 1024

#: Bytes between two checks of the free disk space.
_CHECK_BYTES = 64 * 2**20

#: Errors in a URL or redirect, after which a retry cannot succeed.
PERMANENT_ERRORS = (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL)


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch. Its known hashes are verified."""

    url: str
    directory: str  #: below the root
    name: str  #: below the directory
    size: int | None
    sha256: str | None = None
    git_sha1: str | None = None  #: the git blob id
    is_pinned: bool = False  #: whether the user gave the hash
    may_replace: bool = True  #: whether an existing file of its name is an older version of it
    headers: Mapping[str, str] | None = None  #: sent to its own host only

    @property
    def is_known(self) -> bool:
        """Whether a hash of the file is known."""
        return self.sha256 is not None or self.git_sha1 is not None

    @property
    def key(self) -> str:
        """The name of its incomplete file, which later tasks can continue."""
        known = self.sha256 or self.git_sha1 or ""
        return hashlib.sha256(f"{self.url}\n{self.directory}/{self.name}\n{known}\n{self.size}".encode()).hexdigest()


@dataclass(slots=True)
class FetchContext:
    """The dependencies and limits of a download, and the callbacks that report its progress."""

    root: Path
    client: httpx.Client
    allows_pickles: bool
    report: Callable[[int, str], None]  #: receives the bytes so far and the status
    warn: Callable[[str], None]
    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    require_allowance: Callable[[], None] = lambda: None  #: raises JobFailed if the owner's quota is used up
    min_free_bytes: int = 0  #: disk space that must stay free


def fetch(file: RemoteFile, context: FetchContext) -> Path:
    """Fetch a file and return its path. Raises JobFailed, StopRequested, OSError."""
    path = path_below(context.root, file.directory, file.name)
    incoming = context.root / INCOMING
    incoming.mkdir(mode=0o700, exist_ok=True)
    part, lock = incoming / f"{file.key}.part", incoming / f"{file.key}.lock"
    with _alone(lock, lambda: _wait_for_turn(context)):
        try:
            # Another task may have fetched the file while this one waited.
            if not _is_complete(file, path, context):
                _fetch_to(path, file, part, context)
            return path
        finally:
            if not part.exists() or part.stat().st_size == 0:
                part.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)


def _fetch_to(path: Path, file: RemoteFile, part: Path, context: FetchContext) -> None:
    if file.may_replace:
        _fetch_verified(path, file, part, context)
        return
    # The name is reserved during the fetch, so that another file of this name is rejected before its first byte.
    reservation = part.with_name(f"{hashlib.sha256(str(path).encode()).hexdigest()}.lock")
    with _alone(reservation, lambda: _refuse_name(file)):
        try:
            _fetch_verified(path, file, part, context)
        finally:
            reservation.unlink(missing_ok=True)


def _fetch_verified(path: Path, file: RemoteFile, part: Path, context: FetchContext) -> None:
    _require_free_name(file, path)
    _fetch_part(file, part, context)
    context.report(part.stat().st_size, "verifying")
    try:
        _check(file, part, context)
    except JobFailed:
        part.unlink(missing_ok=True)
        raise
    part.chmod(_MODE)
    _require_free_name(file, path)
    os.replace(part, path)
    with suppress(OSError):
        sync_directory(path.parent)


def _is_complete(file: RemoteFile, path: Path, context: FetchContext) -> bool:
    """Return whether the file exists already with the right size and hash."""
    if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
        return False
    context.report(path.stat().st_size, "verifying")
    return (file.size is not None or file.is_known) and _hashes_fit(file, path, context)


def _require_free_name(file: RemoteFile, path: Path) -> None:
    """Check that no other file has its name. Raises JobFailed."""
    if not file.may_replace and os.path.lexists(path):
        _refuse_name(file)


def _refuse_name(file: RemoteFile) -> NoReturn:
    raise JobFailed(
        Reason.of(
            "Another file {name} exists or is being downloaded. Set another `name`.",
            "download_name_taken",
            name=f"{file.directory}/{file.name}",
        ),
        CauseCode.REFUSED_FILE,
    )


def _fetch_part(file: RemoteFile, part: Path, context: FetchContext) -> None:
    """Fetch the missing part of a file. Raises JobFailed, StopRequested, OSError."""
    patience = Patience(context.is_stopping, context.sleep)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            before = os.fstat(handle).st_size
            if file.size is not None and before == file.size:
                os.fsync(handle)
                return
            if file.size is not None and before > file.size:
                os.ftruncate(handle, 0)
            problem, requested_wait = _request(file, handle, context)
            if problem is None:
                os.fsync(handle)
                return
            if os.fstat(handle).st_size - before >= _LEAST_BYTES:
                patience.note_progress()
            if patience.is_exhausted:
                message = Reason.of(
                    "{name} cannot be downloaded: {problem}. The downloaded part is kept.",
                    "download_broken_off",
                    name=file.name,
                    problem=problem,
                )
                raise JobFailed(message, CauseCode.NETWORK)
            context.warn(f"{file.name}: {text_of(problem)}; the download is retried")
            patience.wait(requested_wait)
    finally:
        os.close(handle)


def _request(file: RemoteFile, handle: int, context: FetchContext) -> tuple[ReasonOrText | None, float | None]:
    """Request the rest of a file once; return None if it is complete, else the problem and the seconds to wait."""
    if not file.is_known:  # without a hash, the rest could be from a changed file
        os.ftruncate(handle, 0)
    there = os.fstat(handle).st_size
    headers = dict(file.headers or {})
    if there:
        headers["Range"] = f"bytes={there}-"
    try:
        with context.client.stream("GET", file.url, headers=headers) as response:
            refused = judge_answer(file.name, response)
            if refused is not None:
                return refused
            if response.status_code == 416:
                os.ftruncate(handle, 0)
                return Reason.of("the downloaded part does not match the file", "download_no_fit"), 0.0
            if response.status_code == 200 or not _continues(response, there):
                os.ftruncate(handle, 0)
                if response.status_code == 206:
                    return Reason.of("the server sent another part than requested", "download_other_part"), 0.0
            return _write(file, response, handle, context)
    except PrivateAddress as error:
        raise private_address(error) from None
    except PERMANENT_ERRORS as error:
        message = Reason.of(
            "{name} cannot be downloaded: {problem}.", "download_not_reached", name=file.name, problem=short(error)
        )
        raise JobFailed(message, cause_of(error)) from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        return short(error), None


def _write(
    file: RemoteFile, response: httpx.Response, handle: int, context: FetchContext
) -> tuple[ReasonOrText | None, float | None]:
    position = checked_at = os.fstat(handle).st_size
    since, then = context.clock(), position
    for chunk in response.iter_raw():  # without a chunk size, so that received bytes are written before an interruption
        stop_if(context.is_stopping)
        if position - checked_at >= _CHECK_BYTES:
            _require_room(file, handle, context)
            context.require_allowance()
            checked_at = position
        if file.size is not None and position + len(chunk) > file.size:
            os.ftruncate(handle, 0)
            message = Reason.of("{name} is longer than announced.", "download_too_long", name=file.name)
            raise JobFailed(message, CauseCode.WRONG_HASH)
        view = memoryview(chunk)
        while view:
            view = view[os.pwrite(handle, view, position + len(chunk) - len(view)) :]
        position += len(chunk)
        context.report(position, "downloading")
        if (now := context.clock()) - since >= SLOW_SECONDS:
            if position - then < LEAST_SPEED * (now - since):
                return Reason.of(
                    "fewer than {bytes} bytes per second were received for {seconds} s",
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


def _require_room(file: RemoteFile, handle: int, context: FetchContext) -> None:
    """Check the free disk space during the fetch, because sizes may be unknown. Raises JobFailed."""
    found = os.fstatvfs(handle)
    if found.f_bavail * found.f_frsize < context.min_free_bytes:
        raise JobFailed(
            Reason.of(
                "There is too little disk space for the rest of {name}. The downloaded part is kept.",
                "download_disk_full",
                name=file.name,
            ),
            CauseCode.DISK_FULL,
        )


def _continues(response: httpx.Response, there: int) -> bool:
    """Return whether an answer starts at the end of the downloaded part."""
    return str(response.headers.get("content-range", "")).startswith(f"bytes {there}-")


def _check(file: RemoteFile, part: Path, context: FetchContext) -> None:
    """Verify the complete file. Raises JobFailed."""
    if not _hashes_fit(file, part, context):
        raise JobFailed(
            Reason.of(
                "{name} has a wrong hash. The file was deleted.",
                "download_wrong_hash",
                name=file.name,
            ),
            CauseCode.WRONG_HASH,
        )
    check_content(part, file.name, allows_pickles=context.allows_pickles or file.is_pinned)


def _hashes_fit(file: RemoteFile, path: Path, context: FetchContext) -> bool:
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
            stop_if(context.is_stopping)
            for each, _ in kinds:
                each.update(chunk)
    return all(each.hexdigest() == expected for each, expected in kinds)


@contextmanager
def _alone(path: Path, on_held: Callable[[], None]) -> Iterator[None]:
    """Hold a lock. `on_held` is called repeatedly while another task holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(handle, on_held)
            # The former holder may have removed the file, and another task may have locked a new one.
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


def _wait_for_turn(context: FetchContext) -> None:
    """Wait for another task that fetches the same file. Raises StopRequested."""
    context.report(0, "waiting")
    wait(0.2, context.is_stopping, context.sleep)


def _is_named(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def cause_of(error: Exception) -> CauseCode:
    """Return the cause of an error in PERMANENT_ERRORS."""
    return CauseCode.NETWORK if isinstance(error, httpx.TooManyRedirects) else CauseCode.REFUSED_ADDRESS


def short(error: Exception) -> str:
    """Return the first line of an error's text, or the name of its class."""
    return (str(error).splitlines() or [""])[0][:200].rstrip(".") or type(error).__name__


#: File extensions of weights, and of files that programs unpickle.
_SAFETENSORS = (".safetensors", ".sft")
_UNPICKLED = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".pt2", ".ptl", ".th", ".t7", ".npy", ".npz",
    ".joblib", ".dill",
)  # fmt: skip

#: Forms that can contain code.
_CODE = (FileForm.TORCH_ZIP, FileForm.PICKLE)


def check_content(path: Path, name: str, *, allows_pickles: bool) -> None:
    """Reject broken weights and files that can contain code. Raises JobFailed, OSError."""
    facts, lower = examine(path), name.lower()
    if lower.endswith(_SAFETENSORS) and (facts.form is not FileForm.SAFETENSORS or facts.is_whole is False):
        problem = facts.problem or "is not a safetensors file"
        message = Reason.of("{name} {problem}.", "download_no_weights", name=name, problem=problem)
        raise JobFailed(message, CauseCode.REFUSED_FILE)
    # A file can be both safetensors and a pickle. Programs load it by its name.
    is_unpickled = lower.endswith(_UNPICKLED) and facts.form in (FileForm.OTHER, FileForm.SAFETENSORS)
    can_hold_code = facts.form in _CODE or is_unpickled
    if can_hold_code and not allows_pickles:
        raise JobFailed(
            Reason.of(
                "{name} can contain code. If you trust this file, set its SHA-256; or use a safetensors file; or run"
                " the service with ALLOW_PICKLED_WEIGHTS=1.",
                "download_can_hold_code",
                name=name,
            ),
            CauseCode.REFUSED_FILE,
        )
