"""What an upload by form asks for beside its file: its items preprocessed, by a task under the upload's own id."""

from collections.abc import Callable, Mapping

from api.datasets.joining import Joined
from api.datasets.preprocess_wish import PreprocessWish
from api.domain.access import LOCAL, Credential, Permission, Principal
from api.domain.media_settings import MediaSettings
from api.domain.upload import Upload
from api.errors import Invalid, Mistake

#: Items of an archive that one task can single out among others of its dataset.
MOST_PATHS = 20_000

#: Starts a preprocessing: the wish, who asks, the key by which a retry is known, and the id of the task.
Start = Callable[[PreprocessWish, Principal, str, str], object]


class UploadFollowUp:
    """Goes on with uploads that have become items."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def go_on(self, upload: Upload, joined: Joined) -> None:
        """Starts the task that an upload asks for, if it does; once, however often it is called. Raises Invalid where
        that cannot be done, and what starting a preprocessing raises.
        """
        if upload.task_id is None or not _asks_for_more(upload.metadata):
            return
        paths = (*joined.added, *joined.changed)
        if not paths:
            return
        if len(paths) > MOST_PATHS and not joined.is_all:
            what = f"More than {MOST_PATHS:,} items cannot be preprocessed beside others."
            raise Invalid(mistakes=[Mistake("/dataset", what, "Upload them into a dataset of their own.")])
        wish = PreprocessWish(
            f"{joined.dataset}@{joined.version}",
            paths=() if joined.is_all else paths,
            media=_settings_of(upload.metadata),
            model_type=upload.metadata.get("model_type"),
            description=f"preprocessed upload of {upload.filename or upload.upload_id}",
        )
        self._start(wish, _asker_of(upload), f"upload {upload.upload_id}", upload.task_id)


def _asks_for_more(said: Mapping[str, str]) -> bool:
    return any(name in said for name in ("fps", "resolution", "model_type"))


def _settings_of(said: Mapping[str, str]) -> MediaSettings:
    width, _, height = said.get("resolution", "").partition("x")
    return MediaSettings(
        fps=float(said["fps"]) if "fps" in said else None,
        width=int(width) if width else None,
        height=int(height) if height else None,
    )


def _asker_of(upload: Upload) -> Principal:
    """Whoever began the upload, who was let in to the dataset then."""
    if upload.owner is None:
        return LOCAL
    return Principal(upload.owner, None, frozenset({Permission.TASKS_WRITE_ANY}), Credential.KEY)
