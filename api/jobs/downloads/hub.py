"""List the files of a repository on Hugging Face with sizes and hashes, at one commit."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

import httpx
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.answers import RETRIED, Patience
from api.jobs.downloads.fetch import PERMANENT_ERRORS, RemoteFile, cause_of, short
from api.jobs.downloads.http import private_address
from api.jobs.downloads.request import RepositoryRequest, check_name
from api.jobs.errors import JobFailed, stop_if
from api.util.http.addresses import PrivateAddress

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


#: The limit of files of one repository.
_MAX_FILES = 20_000

#: The limits of the list in bytes (20,000 files need about 6 MB) and of its transfer in seconds.
_MAX_BYTES, _MAX_SECONDS = 32 * 2**20, 120.0


class UnreadableAnswer(ValueError):
    """The answer is not that of a hub."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, with the hashes that the hub gives."""

    name: str
    size: int | None
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, slots=True)
class Description:
    """A repository at one commit, or None if the hub does not name it."""

    commit: str | None
    files: tuple[HubFile, ...]


def read_description(answer: bytes) -> Description:
    """Parse an answer. Raises UnreadableAnswer."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        raise UnreadableAnswer("it is not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("siblings", []), list):
        raise UnreadableAnswer("it has no list of files")
    # A repeated path is one file.
    files = {file.name: file for file in map(_file, found.get("siblings", []))}
    return Description(_matching(_COMMIT, found.get("sha")), tuple(files.values()))


def _file(found: Any) -> HubFile:
    if not isinstance(found, Mapping) or not isinstance(found.get("rfilename"), str):
        raise UnreadableAnswer("it has a file without a name")
    name, size, lfs = found["rfilename"], found.get("size"), found.get("lfs")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63):
        raise UnreadableAnswer(f"its size of {name[:200]!r} is invalid")
    if lfs is None:
        return HubFile(name, size, None, _matching(_COMMIT, found.get("blobId")))
    sha256 = _matching(_SHA256, lfs.get("sha256")) if isinstance(lfs, Mapping) else None
    if sha256 is None:
        raise UnreadableAnswer(f"its hash of {name[:200]!r} is invalid")
    return HubFile(name, size, sha256, None)


def _matching(pattern: re.Pattern[str], value: Any) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub by its URL, with the token for it."""

    endpoint: str
    token: str | None
    client: httpx.Client
    is_stopping: Callable[[], bool] = lambda: False
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    warn: Callable[[str], None] = lambda text: None

    def list_files(self, request: RepositoryRequest) -> list[RemoteFile]:
        """Return the requested files of a repository. Raises JobFailed, StopRequested."""
        found = self._fetch(request)
        files = found.files[:_MAX_FILES]
        chosen = _choose([each.name for each in files], request)
        return [self._file(request, each, found.commit or request.revision) for each in files if each.name in chosen]

    def _fetch(self, request: RepositoryRequest) -> Description:
        try:
            validate_repo_id(request.repository)
        except HFValidationError:
            raise JobFailed(
                Reason.of("{name} is not a repository name.", "download_bad_repository", name=repr(request.repository)),
                CauseCode.NOT_FOUND,
            ) from None
        patience = Patience(self.is_stopping, self.sleep)
        while True:
            try:
                return self._read(request)
            except PrivateAddress as error:
                raise private_address(error) from None
            except UnreadableAnswer as error:
                raise JobFailed(
                    Reason.of(
                        "The answer of {hub} about {repository} cannot be read: {problem}. Check that HF_ENDPOINT is"
                        " the URL of a hub.",
                        "download_unreadable",
                        hub=self.endpoint,
                        repository=request.repository,
                        problem=str(error),
                    ),
                    CauseCode.NETWORK,
                ) from None
            except PERMANENT_ERRORS as error:
                raise JobFailed(_hub_failed(request, short(error)), cause_of(error)) from None
            except httpx.HTTPError as error:
                message = _hub_failed(request, short(error))
                if patience.is_exhausted:
                    raise JobFailed(message, CauseCode.NETWORK) from None
            self.warn(f"{message.text} The request is retried.")
            patience.wait()

    def _read(self, request: RepositoryRequest) -> Description:
        """Request the description once.

        Raises JobFailed, StopRequested, UnreadableAnswer, PrivateAddress, httpx.HTTPError, httpx.InvalidURL.
        """
        at = f"/revision/{quote(request.revision, safe='')}" if request.revision else ""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = f"{self.endpoint}/api/models/{request.repository}{at}"
        with self.client.stream("GET", address, params={"blobs": "true"}, headers=headers) as response:
            if not response.is_success:
                self._judge(request, response)
            return read_description(self._body(response))

    def _body(self, response: httpx.Response) -> bytes:
        until, body = self.clock() + _MAX_SECONDS, bytearray()
        for chunk in response.iter_bytes():
            stop_if(self.is_stopping)
            body += chunk
            if len(body) > _MAX_BYTES:
                raise UnreadableAnswer(f"it is longer than {_MAX_BYTES / 1e6:.0f} MB")
            if self.clock() > until:
                raise httpx.ReadTimeout(f"its answer takes longer than {_MAX_SECONDS:.0f} s")
        return bytes(body)

    def _judge(self, request: RepositoryRequest, response: httpx.Response) -> None:
        """Raise JobFailed if a retry cannot help, else httpx.HTTPError."""
        status, code = response.status_code, response.headers.get("x-error-code", "")
        if code == "GatedRepo" or (status == 403 and code not in ("RepoNotFound", "RevisionNotFound")):
            raise JobFailed(_gated(self.endpoint, request.repository), CauseCode.GATED)
        if code == "RevisionNotFound":
            raise JobFailed(
                Reason.of(
                    "{repository} has no revision {revision}.",
                    "download_no_revision",
                    repository=request.repository,
                    revision=request.revision,
                ),
                CauseCode.NOT_FOUND,
            )
        if code == "RepoNotFound" or status in (401, 404):
            raise JobFailed(self._not_found(request), _cause_of(status, code))
        if status in RETRIED or status >= 500:
            raise httpx.HTTPError(f"it answers {status}")
        message = Reason.of(
            "The hub answers {status} about {repository}.",
            "download_hub_answers",
            status=status,
            repository=request.repository,
        )
        raise JobFailed(message, CauseCode.NETWORK)

    def _not_found(self, request: RepositoryRequest) -> Reason:
        where = {"repository": request.repository, "hub": self.endpoint}
        if self.token:
            return Reason.of(
                "{hub} has no repository {repository}, or the token may not read it.",
                "download_not_seen",
                **where,
            )
        return Reason.of(
            "{hub} has no public repository {repository}. If it is private, set a token (HF_TOKEN).",
            "download_not_public",
            **where,
        )

    def _file(self, request: RepositoryRequest, found: HubFile, revision: str | None) -> RemoteFile:
        name = check_name(found.name)
        given = request.sha256.get(name)
        return RemoteFile(
            url=hf_hub_url(request.repository, name, revision=revision, endpoint=self.endpoint),
            directory=check_name(request.repository),
            name=name,
            size=found.size,
            sha256=given or found.sha256,
            git_sha1=found.git_sha1,
            is_pinned=given is not None,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else None,
        )


def _choose(names: Sequence[str], request: RepositoryRequest) -> set[str]:
    """Return the names of the requested files. Raises JobFailed for a missing one."""
    chosen: set[str] = set()
    for pattern in request.include:
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found and "*" not in pattern:
            # Repositories are reorganised at times; a single file of that name must be the one.
            found = {name for name in names if name.rpartition("/")[2] == pattern.rpartition("/")[2]}
        if len(found) > 1 and "*" not in pattern:
            message = Reason.of(
                "{repository} has several files named {file}. Use the path of one.",
                "download_several",
                repository=request.repository,
                file=pattern,
            )
            raise JobFailed(message, CauseCode.NOT_FOUND)
        if not found:
            message = Reason.of(
                "{repository} has no file {file}.", "download_no_file", repository=request.repository, file=pattern
            )
            raise JobFailed(message, CauseCode.NOT_FOUND)
        chosen |= found
    chosen = chosen if request.include else set(names)
    included = {name for name in chosen if not any(fnmatchcase(name, pattern) for pattern in request.exclude)}
    if not included:
        message = Reason.of(
            "No file of {repository} is left to download: it has none, or all are excluded.",
            "download_nothing",
            repository=request.repository,
        )
        raise JobFailed(message, CauseCode.NOT_FOUND)
    return included


def _cause_of(status: int, code: str) -> CauseCode:
    """Return the cause of a missing repository. The hub hides private ones from other users."""
    return CauseCode.UNAUTHORIZED if status == 401 and code != "RepoNotFound" else CauseCode.NOT_FOUND


def _gated(endpoint: str, repository: str) -> Reason:
    return Reason.of(
        "{repository} is gated. Accept its licence at {page}, then set a token of that account (`token`, or HF_TOKEN of"
        " the service).",
        "download_gated",
        repository=repository,
        page=f"{endpoint}/{repository}",
    )


def _hub_failed(request: RepositoryRequest, problem: str) -> Reason:
    return Reason.of(
        "The hub cannot describe {repository}: {problem}.",
        "download_hub_silent",
        repository=request.repository,
        problem=problem,
    )
