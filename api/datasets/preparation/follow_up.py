"""Start the preprocessing that a form upload requests, as a task with the upload's id."""

from collections.abc import Callable, Mapping

from api.datasets.items.joining import Joined
from api.datasets.preparation.request import PreprocessRequest
from api.domain.access.principal import LOCAL, Credential, Permission, Principal
from api.domain.datasets.media_settings import MediaSettings
from api.domain.datasets.upload import Upload
from api.domain.finding import make_finding
from api.errors import FindingText, Invalid

#: Most items of an archive that one task can select among others of its dataset.
MOST_PATHS = 20_000

#: Starts a preprocessing: the request, the principal, the key that identifies a retry, and the id of the task.
Start = Callable[[PreprocessRequest, Principal, str, str], object]


class UploadFollowUp:
    """Starts tasks for uploads that have become items."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def start(self, upload: Upload, joined: Joined) -> None:
        """Start the task that an upload requests, if any. Repeated calls start it only once.

        Raises Invalid if that is impossible, and the errors of starting a preprocessing.
        """
        if upload.task_id is None or not _needs_preprocessing(upload.metadata):
            return
        paths = (*joined.added, *joined.changed)
        if not paths:
            return
        if len(paths) > MOST_PATHS and not joined.is_all:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/dataset",
                        FindingText(
                            "items_of_upload_too_many",
                            "More than {most} items cannot be preprocessed in a dataset with other items.",
                            "Upload them into a separate dataset.",
                        ),
                        most=f"{MOST_PATHS:,}",
                    )
                ]
            )
        request = PreprocessRequest(
            f"{joined.dataset}@{joined.version}",
            paths=() if joined.is_all else paths,
            media=_settings_of(upload.metadata),
            model_type=upload.metadata.get("model_type"),
            description=f"preprocessed upload of {upload.filename or upload.upload_id}",
        )
        self._start(request, _principal_of(upload), f"upload {upload.upload_id}", upload.task_id)


def _needs_preprocessing(metadata: Mapping[str, str]) -> bool:
    return any(name in metadata for name in ("fps", "resolution", "model_type"))


def _settings_of(metadata: Mapping[str, str]) -> MediaSettings:
    width, _, height = metadata.get("resolution", "").partition("x")
    return MediaSettings(
        fps=float(metadata["fps"]) if "fps" in metadata else None,
        width=int(width) if width else None,
        height=int(height) if height else None,
    )


def _principal_of(upload: Upload) -> Principal:
    """Return the principal that created the upload, whose access to the dataset was checked then."""
    if upload.owner is None:
        return LOCAL
    return Principal(upload.owner, None, frozenset({Permission.TASKS_WRITE_ANY}), Credential.KEY)
