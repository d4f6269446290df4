"""Puts files into a repository of a hub as one commit, without those that are there already.

The hub's library does the talking (create, preupload, large files, commit), through the client that is given, and so
only to where that may connect.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_url, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.downloads.refusal import DownloadRefused, StopAsked
from api.jobs.downloads.waiting import Patience
from api.jobs.pushes.failures import HubTrouble, asked_wait, explain, is_final
from api.jobs.pushes.watched_file import WatchedFile
from api.jobs.pushes.wish import CARD, CARD_MARK, MOST_CARD_BYTES, CardRule, PushedFile, PushWish


@dataclass(frozen=True, slots=True)
class PushResult:
    """What came of it: the commit, and whether anything was new."""

    commit: str | None
    url: str
    is_new: bool
    card_left: bool  #: the repository has a card of its own, which stays


@dataclass(slots=True)
class Publisher:
    """One push, over as many tries as it takes."""

    wish: PushWish
    token: str
    open_client: Callable[[], httpx.Client]  #: of the kind `OneTry`
    work: Path  #: where the files lie
    tell: Callable[[int, int, str], None]  #: which file, how much of it was sent, and what is done with it
    warn: Callable[[str], None]
    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None] = time.sleep
    _sent: int = 0  #: files that the hub has in this try

    def run(self) -> PushResult:
        """Pushes everything. Raises DownloadRefused, StopAsked."""
        set_client_factory(self.open_client)
        patience, furthest = Patience(self.is_stopping, self.sleep), 0
        while True:
            self._sent = 0
            try:
                return self._try()
            except (HubTrouble, HfHubHTTPError, httpx.HTTPError, RuntimeError, ValueError, OSError) as error:
                cause = _first_of(error)
                if isinstance(cause, StopAsked | DownloadRefused):
                    raise cause from None
                said = explain(cause, self.wish, self.token)
                if self._sent > furthest:  # more than ever before: the hub keeps whole files, and parts of none
                    furthest = self._sent
                    patience.note_progress()
                if is_final(cause) or patience.is_exhausted:
                    raise DownloadRefused(said, CauseCode.HUB_REFUSED) from None
                self.warn(f"{said} It is tried again.")
                patience.wait(asked_wait(cause))

    def _try(self) -> PushResult:
        api, wish = HfApi(endpoint=self.wish.endpoint, token=self.token), self.wish
        before = self._find_or_create(api)
        with self._opened(self._wanted()) as (operations, card_left):
            for operation in operations:
                self._stop_if_asked()
                api.preupload_lfs_files(wish.repository, [operation], revision=wish.revision, num_threads=1)
                self._sent += 1
            self._stop_if_asked()
            info = api.create_commit(
                wish.repository,
                operations,
                commit_message=wish.message,
                revision=wish.revision,
                num_threads=1,
                # The hub refuses the commit if another push was faster: the next try then sees what that one committed.
                parent_commit=before,
            )
        for at, file in enumerate(wish.files):
            self.tell(at, file.size, "completed")
        commit = str(info.oid) if info.oid else None
        return PushResult(commit, f"{wish.endpoint}/{wish.repository}", commit != before, card_left)

    def _find_or_create(self, api: HfApi) -> str | None:
        """The commit that the branch is at; the repository is made where there is none and that is wanted."""
        wish = self.wish
        try:
            return self._head(api)
        except RepositoryNotFoundError as error:
            if error.response is not None and error.response.status_code == 401:
                raise  # what the hub says of a token that it does not know
            if not wish.creates:
                raise DownloadRefused(
                    Reason.of(
                        "There is no repository {repository} that this token can see: make it, or let the push make it"
                        " (`create`).",
                        "push_no_repository",
                        repository=wish.repository,
                    ),
                    CauseCode.HUB_REFUSED,
                ) from None
        except RevisionNotFoundError:
            api.create_branch(wish.repository, branch=wish.revision, exist_ok=True)
            return self._head(api)
        api.create_repo(wish.repository, private=wish.is_private, exist_ok=True)
        return self._head(api)

    def _head(self, api: HfApi) -> str | None:
        return api.repo_info(self.wish.repository, revision=self.wish.revision).sha

    def _wanted(self) -> tuple[list[tuple[int, PushedFile]], bool]:
        """The files that shall be there, by their places in the wish, and whether a card of others is left alone."""
        files = list(enumerate(self.wish.files))
        if self.wish.card is not CardRule.OWN or self._may_write_card():
            return files, False
        return [(at, file) for at, file in files if file.path != CARD], True

    def _may_write_card(self) -> bool:
        wish = self.wish
        url = hf_hub_url(wish.repository, CARD, revision=wish.revision, endpoint=wish.endpoint)
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
        self, wanted: tuple[list[tuple[int, PushedFile]], bool]
    ) -> Iterator[tuple[list[CommitOperationAdd], bool]]:
        opened: list[WatchedFile] = []
        operations = []
        try:
            for at, file in wanted[0]:
                self.tell(at, 0, "hashing")
                handle = WatchedFile(self.work / file.local, self._teller(at), self.is_stopping)
                opened.append(handle)
                operations.append(CommitOperationAdd(file.path, handle))
                handle.is_sent = True
            yield operations, wanted[1]
        finally:
            for handle in opened:
                handle.close()

    def _teller(self, at: int) -> Callable[[int], None]:
        return lambda there: self.tell(at, there, "pushing")

    def _stop_if_asked(self) -> None:
        if self.is_stopping():
            raise StopAsked


def _first_of(error: BaseException) -> BaseException:
    """What began it: the library wraps what went wrong within a file."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error
