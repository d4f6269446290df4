import pytest

from api.datasets.preparation.views import PreprocessStatus
from api.datasets.uploads.form_uploads import FormUploads
from api.datasets.uploads.intake import IntakeProgress
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.upload import FormSettings
from api.errors import Finding, HiddenTask, Invalid, TaskNotFound
from api.util.files.stored_form import StoredForm
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.upload_parts import Dock


@pytest.fixture
def dock(shelf: Shelf) -> Dock:
    return Dock(shelf)


@pytest.fixture
def forms(dock: Dock) -> FormUploads:
    return FormUploads(dock.service, dock.store, dock.intake.progress, dock.shelf.clock)


def form(
    dock: Dock, content: bytes = b"PNG", filename: str | None = "x.png", field: str | None = "video"
) -> StoredForm:
    upload = dock.service.begin_form()
    taken = dock.service.open(upload.upload_id, 0, None, None)
    taken.write(content)
    dock.service.close(taken, is_whole=True)
    return StoredForm(upload.upload_id, {}, field, filename, len(content))


def test_task_goes_from_queued_to_completed(dock: Dock, forms: FormUploads):
    made = forms.submit(form(dock), FormSettings(prompt="a cat", dataset="cats"), [])
    assert (made.status, made.progress, made.current_step) == (PreprocessStatus.QUEUED, 0.0, None)
    upload = dock.store.find_task(made.task_id)
    assert upload is not None
    dock.intake.progress[upload.upload_id] = IntakeProgress("adding", 1, 4)
    under_way = forms.get(made.task_id)
    assert (under_way.status, under_way.progress, under_way.current_step) == (
        PreprocessStatus.PROCESSING,
        25.0,
        "adding",
    )
    dock.intake.process_items()
    done = forms.get(made.task_id)
    assert (done.status, done.progress, done.eta_seconds) == (PreprocessStatus.COMPLETED, 100.0, 0.0)
    assert done.result is not None
    assert (done.result.prompt, done.result.video_path, done.result.metadata.resolution) == ("a cat", "x.png", "8x6")


def test_errors_of_file_and_fields_are_reported_together(dock: Dock, forms: FormUploads):
    with pytest.raises(Invalid) as rejected:
        forms.submit(form(dock, b"", ".. "), None, [Finding("/fps", "no")])
    assert [each.pointer for each in rejected.value.mistakes] == ["/fps", "/filename", "/video"]
    with pytest.raises(Invalid):
        forms.submit(form(dock, b"", None, None), FormSettings(), [])


def test_only_the_name_of_a_path_is_used(dock: Dock, forms: FormUploads):
    made = forms.submit(form(dock, filename="C:\\clips\\x.png"), FormSettings(), [])
    upload = dock.store.find_task(made.task_id)
    assert upload is not None
    assert (upload.filename, upload.dataset) == ("x.png", made.task_id)


def test_failed_task_has_its_problem(dock: Dock, forms: FormUploads):
    made = forms.submit(form(dock, b"words", "x.md"), FormSettings(), [])
    dock.intake.process_items()
    failed = forms.get(made.task_id)
    assert (failed.status, failed.result) == (PreprocessStatus.FAILED, None)
    assert failed.problem is not None


def test_task_is_visible_to_its_owner(dock: Dock, forms: FormUploads):
    made = forms.submit(form(dock), FormSettings(), [])
    with pytest.raises(TaskNotFound):
        forms.get("preprocess_other")
    with seeing(ReadScope("bob", sees_all=False)), pytest.raises(HiddenTask):
        forms.get(made.task_id)
