"""The program that pushes models to a hub: `python -m api.jobs.pushes.program`.

Its result is in the state file: the commit and the address of the repository.
"""

import json
import sys
from pathlib import Path

import httpx
from huggingface_hub import get_token, set_client_factory

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.http import open_client
from api.jobs.downloads.progress import TransferProgress
from api.jobs.downloads.request import STATE, reachable_hosts
from api.jobs.errors import JobFailed
from api.jobs.kinds import PUSH_JOB, REQUEST_FILE
from api.jobs.messages import report_warning
from api.jobs.program import JobProgram, main
from api.jobs.pushes.failures import SingleTryClient
from api.jobs.pushes.publish import Publisher
from api.jobs.pushes.request import PushRequest

#: The limit of one answer of the hub in bytes. A large file that is sent in parts has an address for each part.
_MOST_ANSWER_BYTES = 64 * 2**20


class PushProgram(JobProgram):
    """One run of a push."""

    kind = PUSH_JOB

    def __init__(self, work: Path, run: str, threads: int = 1) -> None:
        super().__init__(work, run, threads)
        self._request = PushRequest.from_json(json.loads((work / REQUEST_FILE).read_bytes()))
        self._hosts = reachable_hosts(self._request.allowed_hosts, self._request.endpoint)

    def execute(self) -> None:
        """Push everything. Raises JobFailed, StopRequested, OSError."""
        token = get_token()
        if not token:
            raise JobFailed(
                Reason.of(
                    "A push needs a token with write access. Set `token`, or run the service with HF_TOKEN.",
                    "push_token",
                ),
                CauseCode.HUB_REFUSED,
            )
        entries = [{"name": file.path, "size": file.size} for file in self._request.files]
        progress = TransferProgress(entries, self.work / STATE, "sent", "pushing")
        progress.report(always=True)
        set_client_factory(self._open_client)
        publisher = Publisher(
            request=self._request,
            token=token,
            open_client=self._open_client,
            work=self.work,
            report=progress.update,
            warn=report_warning,
            is_stopping=self.is_stopping,
        )
        published = publisher.run()
        if published.card_left:
            report_warning("The repository has a model card of its own, which was not changed.")
        progress.finish_all(commit=published.commit, url=published.url, is_new=published.is_new)

    def _open_client(self) -> httpx.Client:
        return open_client(self._hosts, SingleTryClient, self.is_stopping, _MOST_ANSWER_BYTES)


if __name__ == "__main__":
    sys.exit(main(PushProgram, __doc__))
