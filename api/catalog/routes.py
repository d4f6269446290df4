"""Models: what a training needs and what of it is here, ready requests, and what a file of weights is."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.schemas import (
    ConvertForms,
    ExamineWeights,
    ModelListAnswer,
    ModelSettingsAnswer,
    PresetAnswer,
    PresetListAnswer,
    PresetListQuery,
    PresetQuery,
    RequestFormsAnswer,
    WeightsAnswer,
)
from api.util.base_path import BASE_PATH
from api.util.pagination import paginate
from api.util.responses import answer
from api.web.context import services
from api.web.schemas import PageQuery

models = APIBlueprint("models", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")


@models.get("/list")
@models.input(PageQuery, location="query")
@models.output(ModelListAnswer)
@models.doc(responses=[422, 503])
def list_models(query_data: PageQuery) -> Response:
    """The trainer's model types, and what of each is on this machine

    Each with its variants, what they are made of, where that can be had, and where it lies: found below MODELS_ROOT
    and MODELS_DIRECTORIES by content, in place. `ready` says whether all of it is whole.
    """
    found = list(enumerate(services().models.list_models(), start=1))
    page = paginate(found, lambda row: row[0], query_data.page()).map(lambda row: row[1])
    return answer({"models": page.rows, "pagination": page.pagination})


@models.get("/<model_id>/presets")
@models.input(PresetListQuery, location="query")
@models.output(PresetListAnswer)
@models.doc(responses=[404, 422, 503])
def list_presets(model_id: str, query_data: PresetListQuery) -> Response:
    """Ready requests for a model type

    By tier of GPU memory: those that somebody is known to have trained with, each with who says so. `missing` names
    what is not on this machine.
    """
    found = list(enumerate(services().models.list_presets(model_id, query_data.dataset), start=1))
    page = paginate(found, lambda row: row[0], query_data.page()).map(lambda row: row[1])
    return answer({"presets": page.rows, "pagination": page.pagination})


@models.get("/<model_id>/presets/<name>")
@models.input(PresetQuery, location="query")
@models.output(PresetAnswer)
@models.doc(responses=[404, 422, 503])
def get_preset(model_id: str, name: str, query_data: PresetQuery) -> Response:
    """A ready request for `/training/start`

    With the paths of what is on this machine, and the two files that it becomes.
    """
    return answer(services().models.get_preset(model_id, name, query_data.dataset))


@models.get("/<model_id>/settings")
@models.output(ModelSettingsAnswer)
@models.doc(responses=[404])
def get_settings(model_id: str) -> Response:
    """Every key with which a model type can be trained

    By table of the trainer's two files: what each may hold, what holds when it is left out, and what it is for. The
    same facts as the checks of `/training/validate` go by.
    """
    return answer(services().settings.describe(model_id))


@models.post("/<model_id>/convert")
@models.input(ConvertForms)
@models.output(RequestFormsAnswer)
@models.doc(responses=[400, 404, 415, 422])
def convert(model_id: str, json_data: ConvertForms) -> Response:
    """A configuration in both of its forms

    The trainer's files as text become values, values become text; a text stays as it is. Nothing is started, and only
    the form is checked.
    """
    return answer(services().settings.convert(model_id, **json_data.model_dump()))


@models.post("/validate")
@models.input(ExamineWeights)
@models.output(WeightsAnswer)
@models.doc(responses=[400, 404, 415, 422, 503])
def validate(json_data: ExamineWeights) -> Response:
    """What a file of weights is

    By its content: which component of which model, its type and quantisation, whether it is whole; of an adapter its
    kind and rank. With `model_id` and `key` also whether it belongs there. Of an upload (`upload_id`), which is not
    taken yet, what has come of it is looked at.
    """
    models, where = services().models, (json_data.model_id, json_data.key)
    if json_data.upload_id is not None:
        return answer(models.examine_upload(json_data.upload_id, *where))
    return answer(models.examine(json_data.path or "", *where))
