"""Complete the OpenAPI document that APIFlask generates from the routes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import BaseModel

from api.datasets.preparation.schemas import UploadForm
from api.samples.library.schemas import ModelForm, SampleForm
from api.streaming.routes import STREAMS
from api.util.http.base_path import BASE_PATH
from api.util.http.caller import SESSION_COOKIE
from api.util.http.envelope import JSON
from api.web.idempotency_routes import MARK
from api.web.openapi.components import (
    add_examples,
    describe_bodies,
    open_response_enums,
    require_response_fields,
    share_components,
)
from api.web.openapi.headers import describe_headers
from api.web.operations import Operation, OperationTable
from api.web.schemas import Failure

#: A variable part of a Flask URL pattern.
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")

_DESCRIPTION = """GPUs and diffusion training over HTTP.

Every JSON response is an envelope, `{code, message, data, timestamp}`. A failure adds `error` with a stable `code`,
every mistake with a JSON pointer, and the `request_id` of the log, which every response also has as `X-Request-ID`.
Times are UTC with `Z`. Memory is in MB (MiB, as in nvidia-smi). Unknown values are `null`, never 0.

Responses may get new fields, and their enums new values: clients must accept what they do not know.

Besides the routes below there are live streams: Server-Sent Events and WebSockets, listed under `x-streams`. Every
message is `{"type", "timestamp", "data"}`.
"""

_CONTACT = {"name": "Diffusion-Pipe API"}
_LICENCE = {"name": "MIT", "identifier": "MIT"}

#: The request header that belongs to each response status.
_HEADERS = {
    "201": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a retry safe: the same key and body get the first response again, for 24 h.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "cats-of-tuesday",
    },
    "304": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of an earlier response: 304 without a body if nothing has changed.",
        "schema": {"type": "string", "maxLength": 1000},
        "example": 'W/"9f2c61d07be84a35c1e0aa42"',
    },
}

_TAGS = [
    {"name": "GPUs", "description": "GPUs, their availability, and the tasks that use them."},
    {"name": "Training", "description": "Validate, start, monitor, stop and resume trainings."},
    {"name": "Alerts", "description": "Alerts, their rules, and notification channels."},
    {"name": "Datasets", "description": "Versioned collections of media: upload, view, caption and check them."},
    {"name": "Preprocessing", "description": "Tasks that create new dataset versions: start, monitor and cancel them."},
    {
        "name": "Models",
        "description": "Base models, presets for training requests, and registered models with versions.",
    },
    {"name": "Nodes", "description": "Machines, their workloads, and draining."},
    {"name": "Logs", "description": "Read, search and download logs; streams follow them."},
    {"name": "Access", "description": "Keys, users and quotas, sign-in to the page, and the audit."},
    {"name": "System", "description": "The service and its machine."},
]


#: The schemas of forms with a file, by address.
_FORMS: dict[str, type[BaseModel]] = {
    f"{BASE_PATH}/preprocess/upload": UploadForm,
    f"{BASE_PATH}/models/upload": ModelForm,
    f"{BASE_PATH}/models/registry/{{name}}/versions/{{version}}/samples": SampleForm,
}

#: The ways to authenticate.
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: `dp_…`."},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "A sign-in at the page."},
}


def template_of(pattern: str) -> str:
    """Return a Flask URL pattern as an OpenAPI path: `/nodes/<name>` becomes `/nodes/{name}`."""
    return _VARIABLE.sub(r"{\1}", pattern)


def finish_document(
    document: dict[str, Any], needs_keys: bool, operation_ids: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    """Complete the document that APIFlask generates from the routes, and return it.

    `operation_ids` holds each operation's id by method (in lower case) and path.
    """
    document["info"] |= {"description": _DESCRIPTION, "contact": _CONTACT, "license": _LICENCE}
    document["x-streams"] = STREAMS
    document["tags"] = _TAGS
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(_failure_schemas())
    # APIFlask's own error schema, which no response here uses.
    components["schemas"].pop("HTTPError", None)
    share_components(document)
    components["responses"] = {"Failure": _failure_response("Any error, in the envelope.")}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["operationId"] = operation_ids[method, path]
            operation["summary"] = operation["summary"].removesuffix(".")
            _finish_operation(operation, components["schemas"])
    forms = {path: _form_schema(form, components["schemas"]) for path, form in _FORMS.items()}
    describe_bodies(document["paths"], components["schemas"], forms, _HEADERS["201"])
    require_response_fields(document)
    open_response_enums(document)
    _describe_security(document, needs_keys)
    limited = {(template_of(each.pattern), each.method.lower()) for each in OperationTable().all if each.rate}
    describe_headers(document, limited)
    add_examples(document)
    return document


def _describe_security(document: dict[str, Any], needs_keys: bool) -> None:
    document["components"]["securitySchemes"] = _SCHEMES
    # An empty entry means that none is required.
    document["security"] = [*([] if needs_keys else [{}]), *({name: []} for name in _SCHEMES)]
    for operation in OperationTable().all:
        method, path = operation.method.lower(), template_of(operation.pattern)
        described = document["paths"].get(path, {}).get(method)
        if described is not None:
            if operation.is_open:
                described["security"] = []
            described["responses"] |= {status: _failure_response(why) for status, why in _refusals(operation)}


def _refusals(operation: Operation) -> Iterator[tuple[str, str]]:
    """Yield the refusals of the gate that need an entry besides the general failure."""
    if not operation.is_open:
        yield "401", "No key, or an invalid one."
        if operation.permission is not None:
            yield "403", "The key lacks the permission."
    if operation.rate is not None:
        yield "429", "The rate limit is exceeded."


def _form_schema(form: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a form with a file; schemas that it refers to are added to `schemas`."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, nested in schema.pop("$defs", {}).items():
        schemas.setdefault(name, nested)
    for field in schema["properties"].values():
        # A form field is absent, never null.
        _drop_null(field)
    return schema


def _failure_schemas() -> dict[str, Any]:
    schema = Failure.model_json_schema(ref_template="#/components/schemas/{model}")
    nested = schema.pop("$defs", {})
    return {"Failure": schema, **nested}


def _failure_response(description: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Failure"}}}
    return {"description": description, "content": content}


def _finish_operation(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    _finish_parameters(operation)
    if "requestBody" in operation:
        body = operation["requestBody"]
        schema = _resolved(body["content"][JSON]["schema"], schemas)
        # If {} is a valid body, the body may be omitted: see body_is_optional.
        body["required"] = bool(schema.get("required") or schema.get("minProperties"))
        _describe_defaults(schema, schemas)
    _finish_responses(operation["responses"])


def _finish_parameters(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        schema = parameter.get("schema", {})
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        _drop_null(schema)
        content = operation["responses"].get("200", {}).get("content", {})
        # Logs are also sent as text; files of a format are described by their route.
        if parameter["name"] == "format" and JSON in content:
            content["text/plain"] = {"schema": {"type": "string"}}
    is_marked = operation.pop(MARK, False)
    for status, header in _HEADERS.items():
        if status in operation["responses"] or (status == "201" and is_marked):
            operation.setdefault("parameters", []).append(header)


def _finish_responses(responses: dict[str, Any]) -> None:
    for other in ("201", "202"):
        if {"200", other} <= responses.keys():
            # A completed action has the same body as an accepted one, and a dry run the same as a creation.
            responses["200"]["content"] = responses[other]["content"]
    for status, response in responses.items():
        if int(status) >= 400:
            responses[status] = _failure_response(response["description"])
        elif int(status) in (303, 304):
            response.pop("content", None)
        elif "content" in response:
            # Clients that support one media type use the first: the file, where it could also be described.
            response["content"] = dict(sorted(response["content"].items(), key=lambda each: not _is_binary(each[1])))
    responses["default"] = {"$ref": "#/components/responses/Failure"}


def _is_binary(media_type: dict[str, Any]) -> bool:
    return bool(media_type.get("schema", {}).get("format") == "binary")


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    return found


def _describe_defaults(body: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move the defaults of a body, and of the objects in it, into the descriptions of its fields.

    openapi-typescript treats a field with a `default` as always present, also in requests.
    """
    for field in body.get("properties", {}).values():
        default = field.pop("default", None)
        if default is not None:
            text = f"{orjson.dumps(default).decode()} by default"
            field["description"] = f"{field['description']}; {text}" if "description" in field else text
        for held in (field, field.get("items", {}), *field.get("anyOf", []), *field.get("oneOf", [])):
            if "$ref" in held:
                _describe_defaults(_resolved(held, schemas), schemas)


def _drop_null(schema: dict[str, Any]) -> None:
    """Remove null from a parameter's schema: an omitted parameter is absent, not null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])
    elif choices:
        schema["anyOf"] = choices
    if schema.get("default", ...) is None:
        del schema["default"]
