"""What a repository on Hugging Face holds: its files with their sizes and hashes, at one commit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import httpx
from huggingface_hub import HfApi, hf_hub_url, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from api.trainers.downloads.fetch import FIRST_WAIT, RemoteFile
from api.trainers.downloads.names import check_name
from api.trainers.downloads.refusal import DownloadRefused
from api.trainers.downloads.wish import RepositoryWish
from api.utils.addresses import PrivateAddress

#: Files of one repository that are looked at, and tries to read the list of them.
_MOST_FILES = 20_000
_MOST_TRIES = 4


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub by its address, with the token that it is shown."""

    endpoint: str
    token: str | None
    client: httpx.Client
    sleep: Callable[[float], None] = time.sleep

    def list_files(self, wish: RepositoryWish) -> list[RemoteFile]:
        """The files that are wanted of a repository. Raises DownloadRefused, httpx.HTTPError."""
        # The library asks by this client too: so it goes where the guard permits, and nowhere else.
        set_client_factory(lambda: self.client)
        info = self._ask(wish)
        siblings = (info.siblings or [])[:_MOST_FILES]
        revision = info.sha or wish.revision
        chosen = _choose([str(each.rfilename) for each in siblings], wish)
        return [self._file(wish, each, revision) for each in siblings if each.rfilename in chosen]

    def _ask(self, wish: RepositoryWish) -> Any:
        api = HfApi(endpoint=self.endpoint, token=self.token or False)
        for left in reversed(range(_MOST_TRIES)):
            try:
                return api.model_info(wish.repository, revision=wish.revision, files_metadata=True)
            except GatedRepoError:
                raise DownloadRefused(_gated(self.endpoint, wish.repository)) from None
            except RevisionNotFoundError:
                raise DownloadRefused(f"{wish.repository} has no revision {wish.revision}.") from None
            except RepositoryNotFoundError:
                raise DownloadRefused(
                    f"There is no repository {wish.repository}, or it is not public: then give a token (HF_TOKEN)."
                ) from None
            except HFValidationError:
                raise DownloadRefused(f"{wish.repository!r} is no name of a repository.") from None
            except PrivateAddress as error:
                raise DownloadRefused(f"{error}.") from None
            except (HfHubHTTPError, httpx.HTTPError) as error:
                status = getattr(getattr(error, "response", None), "status_code", None)
                if status in (401, 403):
                    raise DownloadRefused(_gated(self.endpoint, wish.repository)) from None
                self.sleep(FIRST_WAIT * 2 ** (_MOST_TRIES - 1 - left) if left else 0)
                if not left:
                    raise DownloadRefused(
                        f"The hub cannot be asked about {wish.repository}: {_short(error)}."
                    ) from None
        raise AssertionError

    def _file(self, wish: RepositoryWish, found: Any, revision: str | None) -> RemoteFile:
        name = check_name(str(found.rfilename))
        given = wish.sha256.get(name)
        lfs = found.lfs
        return RemoteFile(
            url=hf_hub_url(wish.repository, name, revision=revision, endpoint=self.endpoint),
            directory=check_name(wish.repository),
            name=name,
            size=int(found.size) if found.size is not None else None,
            sha256=given or (None if lfs is None else str(lfs.sha256)),
            git_sha1=str(found.blob_id) if lfs is None and found.blob_id else None,
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
            raise DownloadRefused(f"{wish.repository} has several files called {pattern}: name one by its path.")
        if not found:
            raise DownloadRefused(f"{wish.repository} has no file {pattern}.")
        chosen |= found
    chosen = chosen if wish.include else set(names)
    kept = {name for name in chosen if not any(fnmatchcase(name, pattern) for pattern in wish.exclude)}
    if not kept:
        raise DownloadRefused(f"Of {wish.repository} no file is wanted: all are excluded, or there is none.")
    return kept


def _gated(endpoint: str, repository: str) -> str:
    return (
        f"{repository} is gated: accept its licence at {endpoint}/{repository}, and give a token of that account"
        " (`token`, or HF_TOKEN of the service)."
    )


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
