"""Routes of the model catalog: model types, presets, settings and weight files."""

from apiflask import APIBlueprint
from flask import Response

from api.catalog.base_models.schemas import (
    ConvertForms,
    ExamineWeights,
    ModelList,
    PresetList,
    PresetListQuery,
    PresetQuery,
)
from api.catalog.base_models.views import PresetView, WeightsView
from api.domain.models.settings_view import ModelSettingsView, RequestFormsView
from api.util.http.base_path import BASE_PATH
from api.util.http.pagination import paginate_by_position
from api.web.responses import answer, services
from api.web.schemas import PageQuery, envelope_of

models = APIBlueprint("models", __name__, url_prefix=f"{BASE_PATH}/models", tag="Models")


@models.get("/list")
@models.input(PageQuery, location="query")
@models.output(envelope_of(ModelList))
@models.doc(responses=[422, 503])
def list_models(query_data: PageQuery) -> Response:
    """List the trainer's model types with their local files.

    Each model type has its variants with their components, the sources of these and their local paths. Files are
    recognised by content below MODELS_ROOT and MODELS_DIRECTORIES. `ready` is true if all components are complete.
    """
    page = paginate_by_position(services().catalog.service.list_models(), query_data.page())
    return answer({"models": page.rows, "pagination": page.pagination})


@models.get("/<model_id>/presets")
@models.input(PresetListQuery, location="query")
@models.output(envelope_of(PresetList))
@models.doc(responses=[404, 422, 503])
def list_presets(model_id: str, query_data: PresetListQuery) -> Response:
    """List the presets of a model type.

    Presets are ready requests, ordered by GPU memory. Each is known to have worked, and `source` says from where.
    `missing` has the components that are not on this machine.
    """
    page = paginate_by_position(
        services().catalog.service.list_presets(model_id, query_data.dataset), query_data.page()
    )
    return answer({"presets": page.rows, "pagination": page.pagination})


@models.get("/<model_id>/presets/<name>")
@models.input(PresetQuery, location="query")
@models.output(envelope_of(PresetView))
@models.doc(responses=[404, 422, 503])
def get_preset(model_id: str, name: str, query_data: PresetQuery) -> Response:
    """Get a preset, a ready request for `/training/start`.

    The request has the paths of local files. The answer also has the two configuration files that it becomes.
    """
    return answer(services().catalog.service.get_preset(model_id, name, query_data.dataset))


@models.get("/<model_id>/settings")
@models.output(envelope_of(ModelSettingsView))
@models.doc(responses=[404])
def list_model_settings(model_id: str) -> Response:
    """Get the settings of a model type.

    The answer has every key by table of the trainer's two files, with its allowed values, default and purpose.
    `/training/validate` checks requests by the same facts.
    """
    return answer(services().catalog.settings.describe(model_id))


@models.post("/<model_id>/convert")
@models.input(ConvertForms)
@models.output(envelope_of(RequestFormsView))
@models.doc(responses=[400, 404, 415, 422])
def convert_config(model_id: str, json_data: ConvertForms) -> Response:
    """Convert a configuration between values and TOML.

    The answer has both forms. Given TOML is returned unchanged. Nothing is started, and only the syntax is checked.
    """
    return answer(services().catalog.settings.convert(model_id, **json_data.model_dump()))


@models.post("/validate")
@models.input(ExamineWeights)
@models.output(envelope_of(WeightsView))
@models.doc(responses=[400, 404, 415, 422, 503])
def validate_model_file(json_data: ExamineWeights) -> Response:
    """Examine a weight file.

    The content shows the component and model, data type, quantisation and whether the file is complete; for an
    adapter, its kind and rank. With `model_id` and `key`, the answer also says whether the file belongs there. Of an
    unfinished upload (`upload_id`), the received bytes are examined.
    """
    examiner, slot = services().catalog.examiner, (json_data.model_id, json_data.key)
    if json_data.upload_id is not None:
        return answer(examiner.examine_upload(json_data.upload_id, *slot))
    return answer(examiner.examine(json_data.path or "", *slot))
