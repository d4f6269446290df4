"""Routes of samples of trainings: render, look, rate, and choose a saved model."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from api.domain.access.principal import current_principal
from api.domain.samples.training_sample import TrainingSample
from api.samples.schemas import (
    ChooseModel,
    LinkModel,
    RateSample,
    SampleSheetQuery,
    SamplesQuery,
    SampleThumbnailQuery,
    StartSampling,
    TrainingSampleList,
)
from api.samples.views import ComfyLink, ComfyLinkList, SampleRanking
from api.training.views import TaskDetails
from api.util.http.base_path import BASE_PATH
from api.web.idempotency_routes import TAKES_KEY, earlier_result, idempotency_scope, idempotent
from api.web.packed_responses import answer_picture
from api.web.responses import answer, answer_file, body_is_optional, services
from api.web.schemas import envelope_of, file_responses, picture_responses

training_samples = APIBlueprint(
    "training_samples", __name__, url_prefix=f"{BASE_PATH}/training/<task_id>", tag="Training"
)

_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4", "video/webm")

_SHEET_RESPONSES: dict[int | str, Any] = {
    200: {
        "description": "The sheet.",
        "content": {each: {"schema": {"type": "string", "format": "binary"}} for each in ("image/png", "text/html")},
    },
    404: "No such training, or `no_picture`.",
    409: "",
    422: "",
    503: "",
}


_PREVIEW_RESPONSES: dict[int | str, Any] = {
    200: {"description": "The picture.", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    404: "No such model, or `no_picture`.",
    503: "",
}


@training_samples.post("/samples")
@training_samples.input(StartSampling)
@training_samples.output(envelope_of(TaskDetails, "Training"), status_code=202)
@training_samples.doc(responses=[400, 404, 409, 415, 422, 503, 507], extensions=TAKES_KEY)
@idempotent
def render_samples(task_id: str, json_data: StartSampling) -> Response:
    """Render samples of saved models with ComfyUI.

    A task of the kind `sample` renders every prompt with every named saved model, by default the latest one, and once
    with the base model. Of a checkpoint (`global_step500`), a LoRA is made first. Follow, stop and read it at
    `/training/{sample_id}` like any task. Samples appear in `/training/{task_id}/samples` while it runs. 409
    `sampling_unavailable` means that there is no ComfyUI, `no_workflow` that the model type needs a `workflow`,
    `no_saved_model` that there is nothing to sample.
    """
    if before := earlier_result():
        made = services().training.details.get(before.about)
    else:
        wanted, principal = json_data.sample_set, current_principal.get()
        if isinstance(wanted, str):
            spec = services().samples.sets.spec(wanted, principal)[1]
        else:
            settings, pointer = wanted.settings(wanted.seed), "/sample_set/workflow"
            spec = services().samples.workflows.spec(settings, wanted.workflow, principal, pointer)
        given = (json_data.checkpoints, spec, json_data.trigger, principal.actor, idempotency_scope())
        made = services().training.details.get_changed(services().samples.rendering.start(task_id, *given))
    return answer(made, 202, "queued", {"Location": f"{BASE_PATH}/training/{made.task_id}"})


@training_samples.get("/samples")
@training_samples.input(SamplesQuery, location="query")
@training_samples.output(envelope_of(TrainingSampleList))
@training_samples.doc(responses=[404, 422])
def list_training_samples(task_id: str, query_data: SamplesQuery) -> Response:
    """List the samples of a training, newest first.

    A sample without a picture has a `problem` that says why.
    """
    query = query_data
    page, rendering = services().samples.trainings.get_page(task_id, query.checkpoint, query.prompt, query.page())
    return answer({"samples": page.rows, "rendering": rendering, "pagination": page.pagination})


@training_samples.get("/samples/ranking")
@training_samples.output(envelope_of(SampleRanking))
@training_samples.doc(responses=[404])
def rank_samples(task_id: str) -> Response:
    """Rank the saved models by the ratings of their samples.

    Each prompt counts once, by its newest sample; a rejected one counts as 0. `verdict` and `summary` say whether the
    lead of the first is certain.
    """
    return answer(services().samples.trainings.rank(task_id))


@training_samples.get("/samples/sheet")
@training_samples.input(SampleSheetQuery, location="query")
@training_samples.doc(responses=_SHEET_RESPONSES)
def get_sample_sheet(task_id: str, query_data: SampleSheetQuery) -> Response:
    """Download a contact sheet: saved models and prompts in one file.

    The HTML file contains small pictures and loads nothing. 409 `sheet_too_large` beyond 1,000 pictures, 24 megapixels
    or 32 MiB: name fewer `checkpoints`.
    """
    names = query_data.checkpoints and [name.strip() for name in query_data.checkpoints.split(",") if name.strip()]
    content = services().samples.trainings.make_sheet(task_id, query_data.format, names or None)
    kind = {"png": "image/png", "html": "text/html; charset=utf-8"}[query_data.format]
    place = f'attachment; filename="{task_id}-samples.{query_data.format}"'
    return Response(content, content_type=kind, headers={"Content-Disposition": place, "Cache-Control": "no-store"})


@training_samples.get("/samples/<sample_id>/file")
@training_samples.doc(responses=file_responses("The file.", "No such sample, or `no_picture`.", *_TYPES))
def get_training_sample_file(task_id: str, sample_id: str) -> Response:
    """Download a picture or clip.

    The file is streamed as ComfyUI saved it. `Range` requests a part.
    """
    return answer_file(request.environ, services().samples.trainings.open_file(task_id, sample_id))


@training_samples.get("/samples/<sample_id>/thumbnail")
@training_samples.input(SampleThumbnailQuery, location="query")
@training_samples.doc(responses=picture_responses("A small picture.", "No such sample, or `no_picture`.", "image/jpeg"))
def get_training_sample_thumbnail(task_id: str, sample_id: str, query_data: SampleThumbnailQuery) -> Response:
    """Get a thumbnail of a sample.

    The answer is a JPEG, for a clip of its first frame. It is made at the first request.
    """
    found = services().samples.trainings.find(task_id, sample_id)
    draw = lambda: services().samples.trainings.draw(found, query_data.size)  # noqa: E731
    sha256 = found.record.sha256 or ""
    is_immutable = query_data.file is not None and sha256.startswith(query_data.file)
    return answer_picture(f"{sha256}-{query_data.size}", "image/jpeg", draw, is_immutable=is_immutable)


@training_samples.patch("/samples/<sample_id>")
@training_samples.input(RateSample)
@training_samples.output(envelope_of(TrainingSample))
@training_samples.doc(responses=[400, 404, 415, 422])
def rate_sample(task_id: str, sample_id: str, json_data: RateSample) -> Response:
    """Rate a sample.

    From 1 to 5, or 0 to reject it. null removes the rating.
    """
    return answer(services().samples.trainings.rate(task_id, sample_id, json_data.rating))


@training_samples.get("/comfyui")
@training_samples.output(envelope_of(ComfyLinkList))
@training_samples.doc(responses=[404, 503])
def list_comfyui_links(task_id: str) -> Response:
    """List the saved models that are linked into ComfyUI.

    Links stay when the training is deleted.
    """
    return answer(services().samples.links.list(task_id))


@training_samples.put("/comfyui/<checkpoint>")
@training_samples.input(LinkModel)
@training_samples.output(envelope_of(ComfyLink))
@training_samples.doc(responses=[400, 404, 409, 415, 422, 503])
@body_is_optional
def link_into_comfyui(task_id: str, checkpoint: str, json_data: LinkModel) -> Response:
    """Link a saved model into ComfyUI's directory of LoRAs.

    The file is that of a download, and its best rated sample lies beside it as a preview. Its name ends with eight
    characters that no other saved model has, so no file is ever replaced.
    """
    return answer(services().samples.links.link(task_id, checkpoint, json_data.url, current_principal.get().actor))


@training_samples.delete("/comfyui/<checkpoint>")
@training_samples.output(envelope_of(ComfyLinkList))
@training_samples.doc(responses=[404, 503])
def unlink_from_comfyui(task_id: str, checkpoint: str) -> Response:
    """Remove a saved model from ComfyUI's directories.

    The answer has the models that are still linked. The training keeps its file.
    """
    return answer(services().samples.links.unlink(task_id, checkpoint, current_principal.get().actor))


@training_samples.get("/comfyui/<checkpoint>/preview")
@training_samples.doc(responses=_PREVIEW_RESPONSES)
def get_model_preview(task_id: str, checkpoint: str) -> Response:
    """Download the preview of a saved model: its best rated sample as a PNG.

    ComfyUI and LoRA managers show it if it lies beside the model under the name in `Content-Disposition`.
    """
    name, content = services().samples.links.draw_preview(task_id, checkpoint)
    response = Response(content, content_type="image/png", headers={"Cache-Control": "no-store"})
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@training_samples.put("/chosen")
@training_samples.input(ChooseModel)
@training_samples.output(envelope_of(TaskDetails, "Training"))
@training_samples.doc(responses=[400, 404, 409, 415, 422])
def choose_model(task_id: str, json_data: ChooseModel) -> Response:
    """Choose the saved model that is the result of a training.

    It replaces an earlier choice, and is shown as `chosen`.
    """
    return answer(services().training.changes.choose(task_id, json_data.checkpoint, current_principal.get().actor))


@training_samples.delete("/chosen")
@training_samples.output(envelope_of(TaskDetails, "Training"))
@training_samples.doc(responses=[404])
def unchoose_model(task_id: str) -> Response:
    """Take back the choice of a saved model.

    Nothing is deleted. Without a choice nothing changes.
    """
    return answer(services().training.changes.choose(task_id, None, current_principal.get().actor))
