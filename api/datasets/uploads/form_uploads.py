"""Form uploads of the older API: one request with the file, and a task that makes a dataset version from it."""

from collections.abc import Mapping
from dataclasses import asdict

from api.datasets.preparation.views import PreprocessMetadata, PreprocessResult, PreprocessStatus, PreprocessView
from api.datasets.records.upload_store import UploadStore
from api.datasets.uploads.metadata import check_filename
from api.datasets.uploads.service import UploadService
from api.domain.access.read_scope import current_scope
from api.domain.datasets.dataset import MediaFacts, MediaKind
from api.domain.datasets.upload import FormSettings, IntakeProgress, Upload, UploadStatus
from api.domain.finding import FILE_EMPTY, make_finding
from api.errors import Finding, FindingText, HiddenTask, Invalid, TaskNotFound
from api.util.clock import Clock
from api.util.files.stored_form import StoredForm
from api.util.text.ids import new_task_id

_STATUSES = {
    UploadStatus.RECEIVED: PreprocessStatus.QUEUED,
    UploadStatus.COMPLETED: PreprocessStatus.COMPLETED,
    UploadStatus.FAILED: PreprocessStatus.FAILED,
}


class FormUploads:
    """Use cases of `/preprocess/upload`."""

    def __init__(
        self, uploads: UploadService, store: UploadStore, progress: Mapping[str, IntakeProgress], clock: Clock
    ) -> None:
        """Create the service. `progress` maps the ids of uploads that this server is processing to their progress."""
        self._uploads = uploads
        self._store = store
        self._progress = progress
        self._clock = clock

    def submit(self, form: StoredForm, settings: FormSettings | None, mistakes: list[Finding]) -> PreprocessView:
        """Create a task for a form whose file has arrived; `mistakes` are the errors found in its settings.

        Raises Invalid with all mistakes, and the errors of `hand_over`.
        """
        filename = form.base_name
        mistakes = [*mistakes, *_mistakes_in(form, filename)]
        if mistakes or settings is None:
            raise Invalid(mistakes=mistakes)
        task_id = new_task_id("preprocess", self._clock.now())
        metadata = {name: str(value) for name, value in asdict(settings).items() if value is not None}
        dataset = settings.dataset or task_id
        return self._show(self._uploads.hand_over(form.upload_id, dataset, filename, task_id, metadata))

    def get(self, task_id: str) -> PreprocessView:
        """Return a task and its progress. Raises TaskNotFound."""
        upload = self._store.find_task(task_id)
        if upload is None:
            raise TaskNotFound.named(task_id)
        if not current_scope.get().sees(upload.owner):
            raise HiddenTask.named(task_id)
        return self._show(upload)

    def _show(self, upload: Upload) -> PreprocessView:
        known = self._progress.get(upload.upload_id)
        status = _STATUSES.get(upload.status, PreprocessStatus.QUEUED)
        if status is PreprocessStatus.QUEUED and known is not None:
            status = PreprocessStatus.PROCESSING
        is_done = status is PreprocessStatus.COMPLETED
        return PreprocessView(
            task_id=upload.task_id or "",
            status=status,
            owner=upload.owner,
            progress=100.0 if is_done else 0.0 if known is None else known.percent,
            current_step=None if known is None or is_done else known.step,
            eta_seconds=0.0 if is_done else None,
            result=_result_of(upload),
            problem=upload.problem,
            created_at=upload.created_at,
            updated_at=upload.updated_at,
        )


def _mistakes_in(form: StoredForm, filename: str | None) -> list[Finding]:
    mistakes = check_filename(filename, "/filename")
    if form.file_field is None:
        mistakes.append(
            make_finding(
                "/video",
                FindingText("video_missing", "is missing", "Send the video, image or archive as video or file."),
            )
        )
    elif not form.size_bytes:
        mistakes.append(make_finding(f"/{form.file_field}", FILE_EMPTY))
    return mistakes


def _result_of(upload: Upload) -> PreprocessResult | None:
    found = upload.result
    if found is None or found.dataset is None:
        return None
    facts = found.facts or MediaFacts(MediaKind.OTHER)
    return PreprocessResult(
        found.dataset,
        found.version,
        f"{found.dataset}@{found.version}",
        video_path=found.item,
        prompt=upload.metadata.get("prompt"),
        metadata=PreprocessMetadata(
            fps=facts.fps,
            resolution=None if facts.width is None else f"{facts.width}x{facts.height}",
            duration=facts.duration,
            frame_count=facts.frame_count,
            original_video=upload.filename,
        ),
    )
