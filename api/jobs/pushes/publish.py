"""Add files to a repository of a hub as one commit, except those that the repository already has.

The hub's library sends the requests (create, preupload, large files, commit) through the given client, which connects
to permitted addresses only.
"""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.answers import Patience
from api.jobs.errors import JobFailed, StopRequested, stop_if
from api.jobs.pushes.failures import HubTrouble, explain, is_final, requested_wait
from api.jobs.pushes.request import CARD, CARD_MARK, MOST_CARD_BYTES, CardRule, PushedFile, PushRequest


class WatchedFile(io.BufferedReader):
    """A file on disk. The first reading is for its hash; only later readings are reported."""

    def __init__(self, path: Path, report: Callable[[int], None], is_stopping: Callable[[], bool]) -> None:
        """`report` receives the position after each read."""
        super().__init__(io.FileIO(path, "rb"), 1024 * 1024)
        self._report = report
        self._is_stopping = is_stopping
        self.is_sent = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Raises StopRequested, OSError."""
        stop_if(self._is_stopping)
        part = super().read(size)
        if self.is_sent:
            self._report(self.tell())
        return part


@dataclass(frozen=True, slots=True)
class PushResult:
    """The result of a push."""

    commit: str | None
    url: str
    is_new: bool
    card_left: bool  #: whether the repository has a foreign model card, which was not changed


@dataclass(slots=True)
class Publisher:
    """One push with its retries."""

    request: PushRequest
    token: str
    open_client: Callable[[], httpx.Client]  #: returns a `SingleTryClient`; the library must use it, too
    work: Path  #: the directory of the files
    report: Callable[[int, int, str], None]  #: receives the index of a file, its sent bytes and its status
    warn: Callable[[str], None]
    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None] = time.sleep
    _sent: int = 0  #: files that the hub has received in this try

    def run(self) -> PushResult:
        """Push everything. Raises JobFailed, StopRequested."""
        patience, furthest = Patience(self.is_stopping, self.sleep), 0
        while True:
            self._sent = 0
            try:
                return self._try()
            except (HubTrouble, HfHubHTTPError, httpx.HTTPError, RuntimeError, ValueError, OSError) as error:
                cause = _first_of(error)
                if isinstance(cause, StopRequested | JobFailed):
                    raise cause from None
                message = explain(cause, self.request, self.token)
                if self._sent > furthest:  # progress: the hub keeps complete files only
                    furthest = self._sent
                    patience.note_progress()
                if is_final(cause) or patience.is_exhausted:
                    raise JobFailed(message, CauseCode.HUB_REFUSED) from None
                self.warn(f"{message} The push is retried.")
                patience.wait(requested_wait(cause))

    def _try(self) -> PushResult:
        api, request = HfApi(endpoint=self.request.endpoint, token=self.token), self.request
        before = self._find_or_create(api)
        with self._opened(self._choose_files()) as (operations, card_left):
            for operation in operations:
                stop_if(self.is_stopping)
                api.preupload_lfs_files(request.repository, [operation], revision=request.revision, num_threads=1)
                self._sent += 1
            stop_if(self.is_stopping)
            info = api.create_commit(
                request.repository,
                operations,
                commit_message=request.message,
                revision=request.revision,
                num_threads=1,
                # The hub rejects the commit after a concurrent one. The next try then starts from that commit.
                parent_commit=before,
            )
            commit = str(info.oid) if info.oid else None
            self._check(api, commit, operations)
        for at, file in enumerate(request.files):
            self.report(at, file.size, "completed")
        return PushResult(commit, f"{request.endpoint}/{request.repository}", commit != before, card_left)

    def _check(self, api: HfApi, commit: str | None, operations: Sequence[CommitOperationAdd]) -> None:
        """Compare the hub's files with those that were read. Raise JobFailed."""
        revision = commit or self.request.revision
        info = api.model_info(self.request.repository, revision=revision, files_metadata=True)
        there = {file.rfilename: file for file in info.siblings or ()}
        for operation in operations:
            found, sent = there.get(operation.path_in_repo), operation.upload_info
            is_same = found is not None and found.size == sent.size
            if not is_same or (found and found.lfs and found.lfs.sha256 != sent.sha256.hex()):
                raise JobFailed(
                    Reason.of(
                        "The hub does not have {path} as it was sent. Push it again.",
                        "push_differs",
                        path=operation.path_in_repo,
                    ),
                    CauseCode.HUB_REFUSED,
                )

    def _find_or_create(self, api: HfApi) -> str | None:
        """Return the commit of the branch. Create a missing repository if the request says so."""
        request = self.request
        try:
            return self._head(api)
        except RepositoryNotFoundError as error:
            if error.response is not None and error.response.status_code == 401:
                raise  # the hub does not know the token
            if not request.creates:
                raise JobFailed(
                    Reason.of(
                        "The hub has no repository {repository} that this token can see. Create it, or set `create` to"
                        " let the push create it.",
                        "push_no_repository",
                        repository=request.repository,
                    ),
                    CauseCode.HUB_REFUSED,
                ) from None
        except RevisionNotFoundError:
            api.create_branch(request.repository, branch=request.revision, exist_ok=True)
            return self._head(api)
        api.create_repo(request.repository, private=request.is_private, exist_ok=True)
        return self._head(api)

    def _head(self, api: HfApi) -> str | None:
        return api.repo_info(self.request.repository, revision=self.request.revision).sha

    def _choose_files(self) -> tuple[list[tuple[int, PushedFile]], bool]:
        """Return the files to push with their indices, and whether a foreign model card is left unchanged."""
        files = list(enumerate(self.request.files))
        if self.request.card is not CardRule.OWN or self._may_write_card():
            return files, False
        return [(at, file) for at, file in files if file.path != CARD], True

    def _may_write_card(self) -> bool:
        request = self.request
        url = hf_hub_url(request.repository, CARD, revision=request.revision, endpoint=request.endpoint)
        found = b""
        headers = {"Authorization": f"Bearer {self.token}"}
        with self.open_client() as client, client.stream("GET", url, headers=headers) as response:
            if response.status_code == 404:
                return True
            response.raise_for_status()
            for part in response.iter_raw():
                found += part
                if len(found) > MOST_CARD_BYTES:
                    return False
        return not found.strip() or CARD_MARK.encode() in found

    @contextmanager
    def _opened(
        self, chosen: tuple[list[tuple[int, PushedFile]], bool]
    ) -> Iterator[tuple[list[CommitOperationAdd], bool]]:
        opened: list[WatchedFile] = []
        operations = []
        try:
            for at, file in chosen[0]:
                self.report(at, 0, "hashing")
                handle = WatchedFile(self.work / file.local, self._reporter(at), self.is_stopping)
                opened.append(handle)
                operations.append(CommitOperationAdd(file.path, handle))
                handle.is_sent = True
            yield operations, chosen[1]
        finally:
            for handle in opened:
                handle.close()

    def _reporter(self, at: int) -> Callable[[int], None]:
        return lambda sent: self.report(at, sent, "pushing")


def _first_of(error: BaseException) -> BaseException:
    """Return the original error, since the library wraps errors of single files."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
