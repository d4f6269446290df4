"""Fair turns: the uploads of one owner do not delay those of another."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from api.domain.upload import Upload

#: Uploads that one call takes at most, so that the list of those that it has tried stays short.
_MOST = 200


class OwnerTurns:
    """Lets several threads take uploads: one of each owner at a time, and first of the owner who was served longest
    ago.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work: set[str | None] = set()
        self._served: dict[str | None, int] = {}  #: by owner the number of the last turn
        self._count = 0

    def take_all(self, find: Callable[[Collection[str]], Sequence[Upload]], take: Callable[[Upload], None]) -> bool:
        """Take uploads until none is left; False if more may be. `find` returns the first upload of each owner, without
        those of these ids.
        """
        tried: set[str] = set()
        while len(tried) < _MOST:
            with self._turn(find(tried)) as upload:
                if upload is None:
                    return True
                tried.add(upload.upload_id)
                take(upload)
        return False

    @contextmanager
    def _turn(self, waiting: Sequence[Upload]) -> Iterator[Upload | None]:
        with self._lock:
            free = [each for each in waiting if each.owner not in self._at_work]
            upload = min(free, key=lambda each: (self._served.get(each.owner, -1), each.serial), default=None)
            if upload is not None:
                self._count += 1
                known = {each.owner for each in waiting} | self._at_work
                self._served = {owner: turn for owner, turn in self._served.items() if owner in known}
                self._served[upload.owner] = self._count
                self._at_work.add(upload.owner)
        try:
            yield upload
        finally:
            if upload is not None:
                with self._lock:
                    self._at_work.discard(upload.owner)
