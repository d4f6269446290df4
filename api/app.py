"""The Flask application: blueprints, one error handler, the OpenAPI document. It starts nothing."""

import difflib
import logging
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import orjson
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Request, Response, current_app, request
from flask.json.provider import JSONProvider
from flask_cors import CORS
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from api import __version__
from api.errors import (
    Invalid,
    MalformedRequest,
    MethodNotAllowed,
    Mistake,
    NotFound,
    ServiceError,
    TooLarge,
    UnsupportedMediaType,
)
from api.routes import schemas
from api.routes.docs import docs
from api.routes.gpu import gpu
from api.routes.health import health
from api.routes.openapi import finish_document
from api.routes.system import system
from api.services.bundle import Services
from api.utils.envelope import JSON, encode_json
from api.utils.ids import current_request_id, new_request_id
from api.utils.responses import answer_error

logger = logging.getLogger(__name__)

_KNOWN_STATUSES: dict[int, type[ServiceError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMediaType,
}


class _StrictJSON(JSONProvider):
    """JSON by orjson, which refuses what JSON does not have (NaN, lone surrogates, endless nesting)."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return encode_json(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


class _Request(Request):
    """Says what is wrong with a body that is no JSON."""

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        raise MalformedRequest(f"The body is not valid JSON: {e}." if e is not None else None)


class _App(APIFlask):
    """Every view here is a plain function: to ask each time whether it is a coroutine costs more than many of them."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(services: Services) -> APIFlask:
    """The app around these services."""
    app = _App("api", title="Diffusion-Pipe API", version=__version__, docs_path=None, json_errors=False)
    app.json = _StrictJSON(app)
    app.request_class = _Request
    app.extensions["services"] = services
    # Relative, so that the page works through a tunnel or proxy as well.
    app.servers = [{"url": "/"}]
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_404_RESPONSE=False,
        AUTO_OPERATION_ID=True,
    )
    # `//gpu/status` is an unknown address, not one to be redirected in HTML.
    app.url_map.merge_slashes = False
    app.before_request(_begin_request)
    for blueprint in (health, gpu, system, docs):
        app.register_blueprint(blueprint)
    for kind, handler in (
        (ServiceError, answer_error),
        (HTTPError, _answer_apiflask),
        (HTTPException, _answer_http),
        (Exception, _answer_unforeseen),
    ):
        app.register_error_handler(kind, handler)
    app.spec_processor(finish_document)  # type: ignore[arg-type]
    if services.cors_origins:
        CORS(app, origins=list(services.cors_origins), expose_headers=["ETag", "Age", "X-Request-ID", "Location"])
    return app


def _begin_request() -> None:
    if not current_request_id.get():
        current_request_id.set(new_request_id())
    rule, scope = request.url_rule, request.environ.get("asgi.scope")
    if rule is None:
        return
    if scope is not None:
        # For the shell's log line and metrics.
        scope["state"]["route"] = rule.rule
    view = current_app.view_functions[rule.endpoint]
    if "body" in getattr(view, "_spec", ()) and request.mimetype != JSON:
        raise UnsupportedMediaType


def _answer_apiflask(error: HTTPError) -> Response:
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return answer_error(Invalid(mistakes=_mistakes(cause)))
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


def _answer_unforeseen(error: Exception) -> Response:
    logger.error("request failed", exc_info=error, extra={"method": request.method, "path": request.path})
    return answer_error(ServiceError("Something went wrong inside the service; its log has the details."))


def _mistakes(error: ValidationError) -> list[Mistake]:
    known: Sequence[str] = list(getattr(schemas, error.title).model_fields)
    found: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        # Where a value may be of several types, the names of the types follow; they are no part of the request.
        location = [part for at, part in enumerate(detail["loc"]) if at == 0 or isinstance(part, int)]
        if detail["type"] == "extra_forbidden":
            message = _unknown_field(str(location[-1]), known)
        else:
            message = detail["msg"].removeprefix("Value error, ")
        messages = found.setdefault("".join(f"/{_pointer_part(part)}" for part in location), [])
        if message not in messages:
            messages.append(message)
    # Several messages about one value are what each of its possible types asks for.
    return [Mistake(pointer, "; or: ".join(messages)) for pointer, messages in found.items()]


def _pointer_part(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _unknown_field(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f'unknown field; did you mean "{close[0]}"?' if close else f"unknown field; known are: {', '.join(known)}"
