"""Has datasets, models and uploads loaded when somebody needs them, or when their loops have something to do."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from api.composition.later import Later
from api.datasets.library_contents import LibraryContents
from api.domain.upload import Upload, UploadView
from api.errors import DatabaseUnavailable
from api.util.periodic import PeriodicThread
from api.web.incoming import Checksum, Incoming

if TYPE_CHECKING:
    from api.composition.library import Library

logger = logging.getLogger(__name__)

#: Seconds between two looks, until there is something.
LOOK_SECONDS = 5.0


class LibraryWatch:
    """Loads the library, and starts its loops."""

    def __init__(self, build: "Callable[[], Library]", contents: LibraryContents) -> None:
        self._contents = contents
        self._thread = PeriodicThread("library-watch", LOOK_SECONDS, self.look_once)
        # Only this thread starts its loops: so they run once, and none begins while they are being stopped.
        self.library = Later(build, on_built=self._thread.trigger)

    def start(self) -> None:
        """Starts to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stops looking, and what was loaded."""
        self._thread.stop()
        if self.library.built is not None:
            self.library.built.stop()

    def look_once(self) -> None:
        """Starts the library's loops, once it is needed by somebody or there is something in it."""
        if self.library.built is None and not self._has_something_to_do():
            return
        library = self.library()
        # The last look.
        self._thread.stop()
        library.start()

    def _has_something_to_do(self) -> bool:
        try:
            return self._contents.has_any()
        except (DatabaseUnavailable, OSError) as error:
            logger.debug("nobody knows whether there are datasets", extra={"problem": f"{error}"})
            return False


class LaterUploads:
    """The uploads for the shell, whose event loop must not wait while they are loaded. Threads call it."""

    def __init__(self, library: "Later[Library]") -> None:
        self._library = library

    def begin_whole(self, at_least: int = 0) -> Upload:
        """Begins an upload of which only the least size is known yet."""
        return self._library().uploads.service.begin_whole(at_least)

    def open(self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None) -> Incoming:
        """Opens an upload for its next bytes."""
        return self._library().uploads.service.open(upload_id, offset, announced, checksum)

    def close(self, incoming: Incoming, *, is_whole: bool) -> UploadView:
        """Notes what has come."""
        return self._library().uploads.service.close(incoming, is_whole=is_whole)

    def discard(self, upload_id: str) -> None:
        """Removes an upload of which nothing has become."""
        self._library().uploads.service.discard(upload_id)
