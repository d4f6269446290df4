"""The Flask application: blueprints, error handlers, the OpenAPI document. Creating it starts nothing."""

import errno
import logging
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import orjson
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Flask, Request, Response, current_app, g, request
from flask.json.provider import JSONProvider
from pydantic import ValidationError
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from api import __version__
from api.access.oidc_routes import oidc
from api.access.routes import audit, auth
from api.alerts.idle.routes import idle
from api.alerts.routes import alerts
from api.catalog.base_models.routes import models
from api.catalog.registry.routes import registry
from api.catalog.transfers.routes import downloads, pushes
from api.composition.openapi import finish_document, template_of
from api.composition.services import Services
from api.datasets.item_routes import dataset_items
from api.datasets.media_routes import dataset_media
from api.datasets.preparation.routes import preprocess
from api.datasets.routes import datasets
from api.datasets.uploads.routes import uploads
from api.domain.access.audit import note_refusal
from api.errors import (
    Finding,
    Invalid,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from api.gpus.routes import gpu
from api.logs.routes import logs
from api.nodes.routes import nodes
from api.presets.routes import presets
from api.samples.library.routes import samples
from api.samples.routes import training_samples
from api.samples.sets.routes import sample_sets, workflows
from api.system.routes import system
from api.training.retention.routes import retention
from api.training.routes import training
from api.training.schedule.routes import schedule
from api.training.sweeps.routes import sweeps
from api.util.files.foreign_files import TROUBLE
from api.util.http.envelope import JSON, encode_json
from api.util.http.validation import capped, mistakes_in
from api.util.text.ids import check_task_id, current_request_id, new_request_id
from api.web.docs_routes import docs
from api.web.page_routes import dashboard
from api.web.responses import ResponseCache, answer_error, may_have_no_body, serve_stale_responses

logger = logging.getLogger(__name__)

#: Disk errors that may be temporary or need an administrator. Other system errors are bugs.
_PASSING = TROUBLE | {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY}

_KNOWN_STATUSES: dict[int, type[ServiceError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}


class _AnyPath(PathConverter):
    """Matches a path of any characters; Werkzeug's own converter rejects line breaks, which file names may contain."""

    regex = r"[^/](?s:.*?)"


class _StrictJSON(JSONProvider):
    """JSON by orjson, which rejects invalid JSON (NaN, lone surrogates, deep nesting)."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return encode_json(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


class _Parameters(ImmutableMultiDict[str, str]):
    """Query parameters of which none may be repeated: all but the first value would be ignored."""

    def to_dict(self, flat: Any = True) -> Any:
        repeated = [name for name, values in self.lists() if len(values) > 1]
        if flat and repeated:
            raise Invalid(mistakes=capped([Finding(f"/{name}", "is repeated; give it once") for name in repeated]))
        return super().to_dict(flat)


class _Request(Request):
    """A request that reports why its body is not valid JSON, and which query parameters are repeated."""

    @cached_property
    def args(self) -> _Parameters:
        return _Parameters(super().args)

    def on_json_loading_failed(self, e: ValueError | None) -> dict[str, Any]:
        if self.endpoint is not None and _has_no_body(self, current_app.view_functions[self.endpoint]):
            return {}
        raise MalformedRequest(f"The body is not valid JSON: {e}." if e is not None else None)


class _App(APIFlask):
    """An app whose views are all plain functions; checking each call for a coroutine would be slow."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def _has_no_body(incoming: Request, view: Callable[..., Any]) -> bool:
    return may_have_no_body(view) and not incoming.content_length


_OPTIONS: dict[str, Any] = {
    "docs_path": None,
    # web/docs_routes serves the document, compressed and with an ETag.
    "spec_path": None,
    "json_errors": False,
    # Flask's own route for files would stream them.
    "static_folder": None,
}


#: In the order of the OpenAPI document.
_BLUEPRINTS = (
    gpu,
    training,
    retention,
    training_samples,
    sweeps,
    presets,
    sample_sets,
    workflows,
    schedule,
    idle,
    logs,
    datasets,
    dataset_items,
    dataset_media,
    uploads,
    preprocess,
    models,
    registry,
    samples,
    downloads,
    pushes,
    alerts,
    auth,
    oidc,
    audit,
    nodes,
    system,
    docs,
    dashboard,
)


def create_app(services: Services) -> APIFlask:
    """Create the Flask application for these services."""
    app = _App("api", title="Diffusion-Pipe API", version=__version__, **_OPTIONS)
    app.json = _StrictJSON(app)
    app.request_class = _Request
    app.extensions["services"] = services
    # Relative, so that the document works through a tunnel or proxy as well.
    app.servers = [{"url": "/"}]
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_404_RESPONSE=False,
    )
    # `//gpu/status` must be an unknown address, not an HTML redirect.
    app.url_map.merge_slashes = False
    app.url_map.converters["path"] = _AnyPath
    serve_stale_responses(app, ResponseCache())
    app.before_request(_begin_request)
    app.teardown_request(_end_request)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    for kind, handler in (
        (ServiceError, _answer_service_error),
        (HTTPError, _answer_apiflask),
        (HTTPException, _answer_http),
        (OSError, _answer_os_error),
        (Exception, _answer_unforeseen),
    ):
        app.register_error_handler(kind, handler)
    names = _operation_ids(app)
    app.spec_processor(partial(finish_document, needs_keys=services.access.service.needs_keys, operation_ids=names))
    return app


def _operation_ids(app: Flask) -> dict[tuple[str, str], str]:
    """Return the names of the views by method and path, both as the OpenAPI document writes them."""
    return {
        (method.lower(), template_of(rule.rule)): rule.endpoint.rpartition(".")[2]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }


def _begin_request() -> None:
    if not current_request_id.get():
        g.id_before = current_request_id.set(new_request_id())
    rule, scope = request.url_rule, request.environ.get("asgi.scope")
    if rule is None:
        return
    if scope is not None:
        # For the shell's log line and metrics.
        scope["state"]["route"] = rule.rule
    task_id = (request.view_args or {}).get("task_id")
    if task_id is not None:
        check_task_id(task_id)
    view = current_app.view_functions[rule.endpoint]
    if "body" in getattr(view, "_spec", ()):
        _check_body(view)


def _check_body(view: Callable[..., Any]) -> None:
    if request.mimetype != JSON and not _has_no_body(request, view):
        raise UnsupportedMediaType
    if not isinstance(request.get_json(), dict):
        # Checked here once: each schema would report it differently.
        raise Invalid(mistakes=[Finding("", "The body must be a JSON object.")])


def _end_request(error: BaseException | None) -> None:
    before = g.pop("id_before", None)
    if before is not None:
        current_request_id.reset(before)


def _answer_service_error(error: ServiceError) -> Response:
    if error.is_refusal:
        note_refusal(error.code)
    return answer_error(error)


def _answer_apiflask(error: HTTPError) -> Response:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return answer_error(Invalid(mistakes=mistakes_in(cause)))
    return _answer_status(error.status_code, error.message)


def _answer_http(error: HTTPException) -> Response:
    if error.code is not None and error.code < 400:
        return Response(status=error.code, headers=dict(error.get_headers()))
    response = _answer_status(error.code or 500, error.description)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _answer_status(status: int, description: str | None) -> Response:
    kind = _KNOWN_STATUSES.get(status)
    if kind is not None:
        return answer_error(kind())
    if status < 500:
        return answer_error(MalformedRequest(description))
    return answer_error(ServiceError())


def _answer_os_error(error: OSError) -> Response:
    if error.errno not in _PASSING:
        return _answer_unforeseen(error)
    logger.warning(
        "storage cannot be used", extra={"method": request.method, "path": request.path, "problem": f"{error}"}
    )
    detail = f"The storage cannot be read or written at present ({error.strerror}). Try again."
    return answer_error(Unavailable(detail, headers={"Retry-After": "2"}))


def _answer_unforeseen(error: Exception) -> Response:
    logger.error("request failed", exc_info=error, extra={"method": request.method, "path": request.path})
    return answer_error(ServiceError())
