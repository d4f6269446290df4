"""Why a download ends without its files, in words for people."""


class DownloadRefused(Exception):
    """Trying again would not help: the message says why, and what to do."""


class StopAsked(Exception):
    """The program was asked to stop; what is there of files stays for the next run."""
