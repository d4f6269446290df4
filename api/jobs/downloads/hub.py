"""What a repository on Hugging Face holds: its files with their sizes and hashes, at one commit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import quote

import httpx
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.downloads.answers import RETRIED
from api.jobs.downloads.description import Description, HubFile, UnreadableAnswer, read_description
from api.jobs.downloads.fetch import NEVER_BETTER, RemoteFile, cause_of
from api.jobs.downloads.names import check_name
from api.jobs.downloads.refusal import DownloadRefused, StopAsked, private_address
from api.jobs.downloads.waiting import Patience
from api.jobs.downloads.wish import RepositoryWish
from api.util.addresses import PrivateAddress

#: Files of one repository that are looked at.
_MOST_FILES = 20_000

#: The most bytes of the list, unpacked (20,000 files have some 6 MB), and the seconds within which all of it must come.
_MOST_BYTES, _LONGEST_SECONDS = 32 * 2**20, 120.0


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub by its address, with the token that it is shown."""

    endpoint: str
    token: str | None
    client: httpx.Client
    is_stopping: Callable[[], bool] = lambda: False
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    warn: Callable[[str], None] = lambda text: None

    def list_files(self, wish: RepositoryWish) -> list[RemoteFile]:
        """The files that are wanted of a repository. Raises DownloadRefused, StopAsked."""
        found = self._ask(wish)
        files = found.files[:_MOST_FILES]
        chosen = _choose([each.name for each in files], wish)
        return [self._file(wish, each, found.commit or wish.revision) for each in files if each.name in chosen]

    def _ask(self, wish: RepositoryWish) -> Description:
        try:
            validate_repo_id(wish.repository)
        except HFValidationError:
            raise DownloadRefused(
                Reason.of("{name} is no name of a repository.", "download_bad_repository", name=repr(wish.repository)),
                CauseCode.NOT_FOUND,
            ) from None
        patience = Patience(self.is_stopping, self.sleep)
        while True:
            try:
                return self._read(wish)
            except PrivateAddress as error:
                raise private_address(error) from None
            except UnreadableAnswer as error:
                raise DownloadRefused(
                    Reason.of(
                        "What {hub} answers about {repository} cannot be read: {problem}. Is HF_ENDPOINT the address of"
                        " a hub?",
                        "download_unreadable",
                        hub=self.endpoint,
                        repository=wish.repository,
                        problem=str(error),
                    ),
                    CauseCode.NETWORK,
                ) from None
            except NEVER_BETTER as error:
                raise DownloadRefused(_cannot_be_asked(wish, _short(error)), cause_of(error)) from None
            except httpx.HTTPError as error:
                told = _cannot_be_asked(wish, _short(error))
                if patience.is_exhausted:
                    raise DownloadRefused(told, CauseCode.NETWORK) from None
            self.warn(f"{told.text} It is tried again.")
            patience.wait()

    def _read(self, wish: RepositoryWish) -> Description:
        """Raises DownloadRefused, StopAsked, UnreadableAnswer, PrivateAddress, httpx.HTTPError, httpx.InvalidURL."""
        at = f"/revision/{quote(wish.revision, safe='')}" if wish.revision else ""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = f"{self.endpoint}/api/models/{wish.repository}{at}"
        with self.client.stream("GET", address, params={"blobs": "true"}, headers=headers) as response:
            if not response.is_success:
                self._judge(wish, response)
            return read_description(self._body(response))

    def _body(self, response: httpx.Response) -> bytes:
        until, body = self.clock() + _LONGEST_SECONDS, bytearray()
        for chunk in response.iter_bytes():
            if self.is_stopping():
                raise StopAsked
            body += chunk
            if len(body) > _MOST_BYTES:
                raise UnreadableAnswer(f"it is longer than {_MOST_BYTES / 1e6:.0f} MB")
            if self.clock() > until:
                raise httpx.ReadTimeout(f"its answer takes longer than {_LONGEST_SECONDS:.0f} s")
        return bytes(body)

    def _judge(self, wish: RepositoryWish, response: httpx.Response) -> None:
        """Raises DownloadRefused for what will not be better the next time, else httpx.HTTPError."""
        status, code = response.status_code, response.headers.get("x-error-code", "")
        if code == "GatedRepo" or (status == 403 and code not in ("RepoNotFound", "RevisionNotFound")):
            raise DownloadRefused(_gated(self.endpoint, wish.repository), CauseCode.GATED)
        if code == "RevisionNotFound":
            raise DownloadRefused(
                Reason.of(
                    "{repository} has no revision {revision}.",
                    "download_no_revision",
                    repository=wish.repository,
                    revision=wish.revision,
                ),
                CauseCode.NOT_FOUND,
            )
        if code == "RepoNotFound" or status in (401, 404):
            raise DownloadRefused(self._not_seen(wish), _cause_of(status, code))
        if status in RETRIED or status >= 500:
            raise httpx.HTTPError(f"it answers {status}")
        told = Reason.of(
            "The hub answers {status} about {repository}.",
            "download_hub_answers",
            status=status,
            repository=wish.repository,
        )
        raise DownloadRefused(told, CauseCode.NETWORK)

    def _not_seen(self, wish: RepositoryWish) -> Reason:
        where = {"repository": wish.repository, "hub": self.endpoint}
        if self.token:
            return Reason.of(
                "There is no repository {repository} at {hub}, or its token may not read it.",
                "download_not_seen",
                **where,
            )
        return Reason.of(
            "There is no repository {repository} at {hub}, or it is not public: then give a token (HF_TOKEN).",
            "download_not_public",
            **where,
        )

    def _file(self, wish: RepositoryWish, found: HubFile, revision: str | None) -> RemoteFile:
        name = check_name(found.name)
        given = wish.sha256.get(name)
        return RemoteFile(
            url=hf_hub_url(wish.repository, name, revision=revision, endpoint=self.endpoint),
            directory=check_name(wish.repository),
            name=name,
            size=found.size,
            sha256=given or found.sha256,
            git_sha1=found.git_sha1,
            is_pinned=given is not None,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else None,
        )


def _choose(names: Sequence[str], wish: RepositoryWish) -> set[str]:
    """The names of the files that are wanted. Raises DownloadRefused for one that is not there."""
    chosen: set[str] = set()
    for pattern in wish.include:
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found and "*" not in pattern:
            # Repositories are sorted anew at times; one file of that name can be no other.
            found = {name for name in names if name.rpartition("/")[2] == pattern.rpartition("/")[2]}
        if len(found) > 1 and "*" not in pattern:
            told = Reason.of(
                "{repository} has several files called {file}: name one by its path.",
                "download_several",
                repository=wish.repository,
                file=pattern,
            )
            raise DownloadRefused(told, CauseCode.NOT_FOUND)
        if not found:
            told = Reason.of(
                "{repository} has no file {file}.", "download_no_file", repository=wish.repository, file=pattern
            )
            raise DownloadRefused(told, CauseCode.NOT_FOUND)
        chosen |= found
    chosen = chosen if wish.include else set(names)
    kept = {name for name in chosen if not any(fnmatchcase(name, pattern) for pattern in wish.exclude)}
    if not kept:
        told = Reason.of(
            "Of {repository} no file is wanted: all are excluded, or there is none.",
            "download_nothing",
            repository=wish.repository,
        )
        raise DownloadRefused(told, CauseCode.NOT_FOUND)
    return kept


def _cause_of(status: int, code: str) -> CauseCode:
    """What it means not to be shown a repository: the hub tells a stranger of no private one."""
    return CauseCode.UNAUTHORIZED if status == 401 and code != "RepoNotFound" else CauseCode.NOT_FOUND


def _gated(endpoint: str, repository: str) -> Reason:
    return Reason.of(
        "{repository} is gated: accept its licence at {page}, and give a token of that account (`token`, or HF_TOKEN of"
        " the service).",
        "download_gated",
        repository=repository,
        page=f"{endpoint}/{repository}",
    )


def _cannot_be_asked(wish: RepositoryWish, problem: str) -> Reason:
    return Reason.of(
        "The hub cannot be asked about {repository}: {problem}.",
        "download_hub_silent",
        repository=wish.repository,
        problem=problem,
    )


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
