"""The last touches to the OpenAPI document that the routes make."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import BaseModel

from api.catalog.sample_schemas import ModelForm, SampleForm
from api.datasets.preprocess_schemas import UploadForm
from api.streaming.routes import STREAMS
from api.util.base_path import BASE_PATH
from api.util.caller import SESSION_COOKIE
from api.util.envelope import JSON
from api.web.always_sent import require_sent
from api.web.components import share_components
from api.web.idempotency_routes import MARK
from api.web.operations import Operation, OperationTable
from api.web.schemas import Failure
from api.web.taken_bodies import describe_bodies

#: A variable part of an address, as Flask writes it.
_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")

_DESCRIPTION = """GPUs and diffusion training by HTTP.

Every JSON answer is one envelope, `{code, message, data, timestamp}`; a failure adds `error` with a stable `code`,
every mistake by JSON pointer, and the `request_id` of the log. Times are UTC with `Z`; memory is in MB (MiB, as
nvidia-smi counts); unknown is `null`, never 0.

Live, besides the routes below: streams of Server-Sent Events and WebSockets, listed under `x-streams`. Every message is
`{"type", "timestamp", "data"}`.
"""

_CONTACT = {"name": "Diffusion-Pipe API"}
_LICENCE = {"name": "MIT", "identifier": "MIT"}

#: The request header that leads to each status.
_HEADERS = {
    "201": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a retry safe: the same key and body get the first answer again, for 24 h.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "304": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of an earlier answer: 304 without a body while nothing has changed.",
        "schema": {"type": "string", "maxLength": 1000},
    },
}

_TAGS = [
    {"name": "GPUs", "description": "What they are, which can be had, who holds them."},
    {"name": "Training", "description": "Validate, start, follow, stop, resume."},
    {"name": "Alerts", "description": "What needs attention, by which rules, and the ways in which people are told."},
    {"name": "Datasets", "description": "Collections of media in versions: uploaded, looked at, captioned, checked."},
    {"name": "Preprocessing", "description": "Tasks that make new versions of datasets: started, followed, cancelled."},
    {"name": "Models", "description": "Base models, ready requests for them, and results as named versions."},
    {"name": "Nodes", "description": "The machines, what runs on them, and which take no new work."},
    {"name": "Logs", "description": "Read, search, download; follow by the streams."},
    {"name": "Access", "description": "Keys, people and their quotas; signing in at the page; who did what."},
    {"name": "System", "description": "The service and its machine."},
]


#: The forms with a file, by their addresses.
_FORMS: dict[str, type[BaseModel]] = {
    f"{BASE_PATH}/preprocess/upload": UploadForm,
    f"{BASE_PATH}/models/upload": ModelForm,
    f"{BASE_PATH}/models/registry/{{name}}/versions/{{version}}/samples": SampleForm,
}

#: How requests show who they are.
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: `dp_…`."},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "A sign-in at the page."},
}


def finish_document(document: dict[str, Any], needs_keys: bool) -> dict[str, Any]:
    """Adds the failure that every operation may answer and how it is asked for, and makes parameters plain."""
    document["info"] |= {"description": _DESCRIPTION, "contact": _CONTACT, "license": _LICENCE}
    document["x-streams"] = STREAMS
    document["tags"] = _TAGS
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(_failure_schemas())
    # APIFlask's own shape of an error, which no answer here has.
    components["schemas"].pop("HTTPError", None)
    share_components(document)
    components["responses"] = {"Failure": _failure_response("Any failure, in the envelope.")}
    for path in document["paths"].values():
        for operation in path.values():
            _finish_operation(operation, components["schemas"])
    forms = {path: _form_schema(form, components["schemas"]) for path, form in _FORMS.items()}
    describe_bodies(document["paths"], components["schemas"], forms, _HEADERS["201"])
    require_sent(document)
    _tell_keys(document, needs_keys)
    return document


def _tell_keys(document: dict[str, Any], needs_keys: bool) -> None:
    document["components"]["securitySchemes"] = _SCHEMES
    # An empty one says that none is needed.
    document["security"] = [*([] if needs_keys else [{}]), *({name: []} for name in _SCHEMES)]
    for operation in OperationTable().all:
        method, path = operation.method.lower(), _VARIABLE.sub(r"{\1}", operation.pattern)
        described = document["paths"].get(path, {}).get(method)
        if described is not None:
            if operation.is_open:
                described["security"] = []
            described["responses"] |= {status: _failure_response(why) for status, why in _refusals(operation)}


def _refusals(operation: Operation) -> Iterator[tuple[str, str]]:
    """What the gate answers instead, as far as the document's general failure does not say it."""
    if not operation.is_open:
        yield "401", "No key, or one that does not hold."
        if operation.permission is not None:
            yield "403", "The key does not permit this."
    if operation.rate is not None:
        yield "429", "More requests than the limit permits."


def _form_schema(form: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    """The fields of a form with a file; what they are made of is added to the document's schemas."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, nested in schema.pop("$defs", {}).items():
        schemas.setdefault(name, nested)
    for field in schema["properties"].values():
        # A field that is not sent is absent, not null.
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
        # {} is then a whole body, which may be left out: see body_is_optional.
        body["required"] = bool(schema.get("required") or schema.get("minProperties"))
        _tell_defaults(schema, schemas)
    _finish_responses(operation["responses"])


def _finish_parameters(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        schema = parameter.get("schema", {})
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        _drop_null(schema)
        if parameter["name"] == "format":
            operation["responses"]["200"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    is_marked = operation.pop(MARK, False)
    for status, header in _HEADERS.items():
        if status in operation["responses"] or (status == "201" and is_marked):
            operation.setdefault("parameters", []).append(header)


def _finish_responses(responses: dict[str, Any]) -> None:
    for other in ("201", "202"):
        if {"200", other} <= responses.keys():
            # What is done at once is answered as what is under way, and what is only tried as what is made.
            responses["200"]["content"] = responses[other]["content"]
    for status, response in responses.items():
        if int(status) >= 400:
            responses[status] = _failure_response(response["description"])
        elif int(status) == 304:
            response.pop("content", None)
        elif "content" in response:
            # Clients that know one type of an answer alone take the first: the file, where it can also be described.
            response["content"] = dict(sorted(response["content"].items(), key=lambda each: not _is_binary(each[1])))
    responses["default"] = {"$ref": "#/components/responses/Failure"}


def _is_binary(media_type: dict[str, Any]) -> bool:
    return bool(media_type.get("schema", {}).get("format") == "binary")


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    return found


def _tell_defaults(body: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Says in words what a field is when it is left out, in the body and in the objects that it holds.

    openapi-typescript takes a field that has a `default` for one that is always there, in what is asked too.
    """
    for field in body.get("properties", {}).values():
        default = field.pop("default", None)
        if default is not None:
            told = f"{orjson.dumps(default).decode()} by default"
            field["description"] = f"{field['description']}; {told}" if "description" in field else told
        for held in (field, field.get("items", {}), *field.get("anyOf", [])):
            if "$ref" in held:
                _tell_defaults(_resolved(held, schemas), schemas)


def _drop_null(schema: dict[str, Any]) -> None:
    """Removes null from a parameter's schema: one that is not given is absent, not null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])
    elif choices:
        schema["anyOf"] = choices
    if schema.get("default", ...) is None:
        del schema["default"]
