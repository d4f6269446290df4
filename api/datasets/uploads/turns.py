"""Fair turns: the uploads of one owner do not delay those of another."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from api.domain.datasets.upload import Upload

#: Most uploads that one call processes, so that the list of tried ids stays short.
_MOST = 200


class OwnerTurns:
    """Lets several threads process uploads in turns.

    One upload per owner at a time, and first those of the owner that was served longest ago.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[str | None] = set()
        self._served: dict[str | None, int] = {}  #: number of the last turn by owner
        self._count = 0

    def process_all(
        self, find: Callable[[Collection[str]], Sequence[Upload]], process: Callable[[Upload], None]
    ) -> bool:
        """Process uploads until none is left; return False if there may be more.

        `find` returns the first upload of each owner, except those with the given ids.
        """
        tried: set[str] = set()
        while len(tried) < _MOST:
            with self._turn(find(tried)) as upload:
                if upload is None:
                    return True
                tried.add(upload.upload_id)
                process(upload)
        return False

    @contextmanager
    def _turn(self, waiting: Sequence[Upload]) -> Iterator[Upload | None]:
        with self._lock:
            free = [each for each in waiting if each.owner not in self._busy]
            upload = min(free, key=lambda each: (self._served.get(each.owner, -1), each.serial), default=None)
            if upload is not None:
                self._count += 1
                known = {each.owner for each in waiting} | self._busy
                self._served = {owner: turn for owner, turn in self._served.items() if owner in known}
                self._served[upload.owner] = self._count
                self._busy.add(upload.owner)
        try:
            yield upload
        finally:
            if upload is not None:
                with self._lock:
                    self._busy.discard(upload.owner)
