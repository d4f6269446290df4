"""Why a download ends without its files, in words for people and by its cause."""

from api.domain.cause import CauseCode
from api.domain.reason import Reason, Words, text_of
from api.util.addresses import PrivateAddress


class DownloadRefused(Exception):
    """Trying again would not help: the message says why, and what to do."""

    def __init__(self, said: Words, cause: CauseCode) -> None:
        super().__init__(text_of(said))
        self.said = said
        self.cause = cause


def private_address(error: PrivateAddress) -> DownloadRefused:
    """That a host may not be connected to."""
    told = Reason.of(
        "{host} leads to a private address; an administrator can list it in PRIVATE_HOSTS_ALLOWED if that is meant.",
        "download_private",
        host=error.host,
    )
    return DownloadRefused(told, CauseCode.REFUSED_ADDRESS)


class StopAsked(Exception):
    """The program was asked to stop; what is there of files stays for the next run."""
