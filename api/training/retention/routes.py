"""Routes of retention: which saved models and checkpoints of a training stay."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access.principal import current_principal
from api.training.retention.schemas import PreviewQuery, SetRetention
from api.training.retention.views import AppliedRetention, RetentionPreview, RetentionView
from api.util.http.base_path import BASE_PATH
from api.web.responses import answer, services
from api.web.schemas import envelope_of

retention = APIBlueprint("retention", __name__, url_prefix=f"{BASE_PATH}/training/<task_id>/retention", tag="Training")


@retention.get("")
@retention.output(envelope_of(RetentionView))
@retention.doc(responses=[404])
def get_retention(task_id: str) -> Response:
    """Get the rule by which saved models and checkpoints stay.

    A training without its own rule has the default of the settings, which is off unless an administrator sets it.
    """
    return answer(services().training.retention.get(task_id))


@retention.put("")
@retention.input(SetRetention)
@retention.output(envelope_of(AppliedRetention))
@retention.doc(responses=[400, 404, 415, 422, 503])
def set_retention(task_id: str, json_data: SetRetention) -> Response:
    """Set the rule, and delete what it does not keep.

    The rule counts again whenever the training saves. Whatever it says, these stay: the chosen model, the newest model,
    the last complete checkpoint, and everything that an unfinished task needs. Look at the preview first: what is
    deleted cannot be restored.
    """
    return answer(services().training.retention.put(task_id, json_data.rule(), current_principal.get().actor))


@retention.get("/preview")
@retention.input(PreviewQuery, location="query")
@retention.output(envelope_of(RetentionPreview))
@retention.doc(responses=[404, 422, 503])
def preview_retention(task_id: str, query_data: PreviewQuery) -> Response:
    """Show what a rule would keep and delete.

    Each entry has the reason. Nothing is deleted.
    """
    return answer(services().training.retention.preview(task_id, query_data.rule()))
