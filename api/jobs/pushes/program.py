"""The program that pushes: `python -m api.jobs.pushes.program --work DIR --run NAME`, under a supervisor.

DIR holds `wish.json` and the files. It speaks by what it prints, and ends soon after `stop` appears in its own
directory NAME, where it leaves a word when it is done; what came of it is in `state.json`.
"""

import sys
from pathlib import Path

from huggingface_hub import get_token

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.jobs.downloads.http import open_client
from api.jobs.downloads.refusal import DownloadRefused
from api.jobs.downloads.transferring import TransferProgram, main, reachable_hosts, read_wish, warn
from api.jobs.downloads.wish import STATE
from api.jobs.pushes.failures import OneTry
from api.jobs.pushes.progress import PushProgress
from api.jobs.pushes.publish import Publisher
from api.jobs.pushes.wish import PushWish
from api.jobs.pushes.words import COMPLETED, STOPPED

#: Bytes of one answer of the hub: a large file that is sent in parts has an address for each.
_MOST_ANSWER_BYTES = 64 * 2**20


class PushProgram(TransferProgram):
    """One run."""

    completed_phrase, stopped_phrase = COMPLETED, STOPPED

    def __init__(self, work: Path, run: str) -> None:
        super().__init__(work, run)
        self._wish = PushWish.from_json(read_wish(work))
        self._hosts = reachable_hosts(self._wish.allowed_hosts, self._wish.endpoint)

    def transfer(self) -> None:
        """Pushes everything. Raises DownloadRefused, StopAsked, OSError."""
        token = get_token()
        if not token:
            raise DownloadRefused(
                Reason.of(
                    "A push needs a token that may write: give `token`, or let the service run with HF_TOKEN.",
                    "push_token",
                ),
                CauseCode.HUB_REFUSED,
            )
        progress = PushProgress(self._wish.files, self.work / STATE)
        progress.say(always=True)
        publisher = Publisher(
            wish=self._wish,
            token=token,
            open_client=lambda: open_client(self._hosts, OneTry, self.is_stopping, _MOST_ANSWER_BYTES),
            work=self.work,
            tell=progress.tell,
            warn=warn,
            is_stopping=self.is_stopping,
        )
        published = publisher.run()
        if published.card_left:
            warn("The repository has a card of its own, which stays as it is.")
        progress.finish(published.commit, published.url, is_new=published.is_new)


if __name__ == "__main__":
    sys.exit(main(PushProgram, __doc__))
