"""Complete the generated OpenAPI document: shared components, required fields and open enums, uploads, and examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.util.files.stored_form import PART
from api.util.http.base_path import BASE_PATH
from api.util.http.envelope import JSON

SCHEMA_PREFIX = "#/components/schemas/"


_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}

_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def _header(name: str, description: str, schema: dict[str, Any], *, is_required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "required": is_required, "schema": schema}


_VERSION = _header("Tus-Resumable", "The version of tus.", {"type": "string", "enum": ["1.0.0"]}, is_required=True)

_CHECKSUM = _header(
    "Upload-Checksum",
    "The checksum of this request's bytes: `sha256` or `sha1`, and the digest in Base64.",
    {"type": "string", "pattern": "^(sha256|sha1) [A-Za-z0-9+/]+=*$"},
)

_LENGTH = _header("Upload-Length", "The size of the whole upload in bytes.", _COUNT, is_required=True)

_METADATA = _header(
    "Upload-Metadata",
    "Comma-separated pairs of a name and its value in Base64: `dataset`, `filename` or `relativePath`, `kind`.",
    {"type": "string", "maxLength": 8192},
    is_required=True,
)

_OFFSET = _header("Upload-Offset", "The offset in the upload at which this part begins.", _COUNT, is_required=True)


def _body(media_type: str, schema: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    return {"required": is_required, "content": {media_type: {"schema": schema}}}


#: Additions to the operations at these addresses, by method.
DESCRIBED: dict[str, dict[str, dict[str, Any]]] = {
    f"{BASE_PATH}/uploads": {
        "post": {
            "parameters": [_VERSION, _LENGTH, _METADATA, _CHECKSUM],
            "requestBody": _body(PART, _BYTES, is_required=False),
        }
    },
    f"{BASE_PATH}/uploads/{{upload_id}}": {
        "patch": {
            "parameters": [_VERSION, _OFFSET, _CHECKSUM],
            "requestBody": _body(PART, _BYTES, is_required=True),
        },
        "delete": {"parameters": [_VERSION]},
    },
}


#: Descriptions of a form's file fields, by the address of the form.
FORM_FILES: dict[str, dict[str, str]] = {
    f"{BASE_PATH}/preprocess/upload": dict.fromkeys(("video", "file"), "one media file, or a zip or tar"),
    f"{BASE_PATH}/models/upload": {"file": "a safetensors file"},
    f"{BASE_PATH}/models/registry/{{name}}/versions/{{version}}/samples": {
        "file": "png, jpeg, webp, gif, mp4 or webm, of 64 MiB at most"
    },
}


def describe_bodies(
    paths: dict[str, Any], schemas: dict[str, Any], forms: dict[str, dict[str, Any]], retrying: dict[str, Any]
) -> None:
    """Add the descriptions to the paths and schemas of a document.

    `forms` maps addresses of forms to the schemas of their other fields; `retrying` is the header Idempotency-Key.
    """
    for path, methods in DESCRIBED.items():
        for method, additions in methods.items():
            operation = paths[path][method]
            operation.setdefault("parameters", []).extend(additions["parameters"])
            operation |= {name: additions[name] for name in ("requestBody",) if name in additions}
    for path, form in forms.items():
        files = {name: {**_BYTES, "description": text} for name, text in FORM_FILES[path].items()}
        schemas[form["title"]] = {**form, "properties": {**files, **form["properties"]}}
        upload = paths[path]["post"]
        if "201" not in upload["responses"]:  # with 201 the header is there already
            upload.setdefault("parameters", []).append(retrying)
        reference = {"$ref": f"#/components/schemas/{form['title']}"}
        upload["requestBody"] = _body("multipart/form-data", reference, is_required=True)


def share_components(document: dict[str, Any]) -> None:
    """Replace the copies of a type, one per response that contains it, by one component with the type's name.

    A component's title is its name, and no other schema has a title, because client generators name their types by
    titles. Raises ValueError if two different types have the same name.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    shared: dict[str, Any] = {}
    for name, schema in schemas.items():
        own = _own_name(name)
        plain = {"title": own, **_plain(schema)}
        if shared.setdefault(own, plain) != plain:
            raise ValueError(f"two different types are called {own}")
    document["components"]["schemas"] = dict(sorted(shared.items()))
    document["paths"] = {path: _plain(operations) for path, operations in document["paths"].items()}


def _own_name(name: str) -> str:
    """Return the name without its prefix: `TaskDetails` of `TrainingAnswer.TaskDetails`."""
    return name.rpartition(".")[2]


def _plain(node: Any, is_schema: bool = True) -> Any:
    """Return the node with references to shared components and without titles; `is_schema`: it is a JSON Schema."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {}
    for name, value in node.items():
        if is_schema and name == "title" and isinstance(value, str):
            continue
        if name == "$ref" and isinstance(value, str) and value.startswith(SCHEMA_PREFIX):
            value = SCHEMA_PREFIX + _own_name(value.removeprefix(SCHEMA_PREFIX))  # noqa: PLW2901
        # The keys of `properties` are field names; examples and defaults are values.
        plain[name] = value if name in ("example", "default", "const", "enum") else _plain(value, name != "properties")
    return plain


def require_response_fields(document: dict[str, Any]) -> None:
    """Mark every field of schemas used only by responses as required, regardless of defaults in dataclasses.

    Schemas that requests use, too, are unchanged, as are those of errors, where a mistake may have no remedy.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    for name in _sent_only(document) - _below([{"$ref": f"{SCHEMA_PREFIX}Failure"}], schemas):
        fields = schemas[name].get("properties")
        if fields:
            schemas[name]["required"] = list(fields)
            for field in fields.values():
                field.pop("default", None)


def open_response_enums(document: dict[str, Any]) -> None:
    """Make every enum in a response accept other strings, so that clients generated today accept later values.

    The component of an enum lists the known values, and requests accept only those.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    enums = {f"{SCHEMA_PREFIX}{name}" for name, schema in schemas.items() if "enum" in schema}
    for name in _sent_only(document):
        if "enum" not in schemas[name]:
            schemas[name] = _opened(schemas[name], enums)


def _opened(node: Any, enums: set[str]) -> Any:
    if isinstance(node, list):
        return [_opened(each, enums) for each in node]
    if not isinstance(node, dict):
        return node
    opened = {key: _opened(value, enums) for key, value in node.items()}
    if opened.get("$ref") in enums:
        return {"anyOf": [{"$ref": opened.pop("$ref")}, {"type": "string"}], **opened}
    if "anyOf" in opened:
        nested = [each["anyOf"] if each.keys() == {"anyOf"} else [each] for each in opened["anyOf"]]
        opened["anyOf"] = [each for choices in nested for each in choices]
    return opened


def _sent_only(document: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that responses use and requests do not."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    requested = _below([[each.get("requestBody"), each.get("parameters")] for each in operations], schemas)
    return _below([each["responses"] for each in operations], schemas) - requested


def _below(node: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of all schemas that a part of the document refers to, directly or indirectly."""
    found: set[str] = set()
    waiting = list(_references(node))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(schemas.get(name))
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _references(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and isinstance(value, str) and value.startswith(SCHEMA_PREFIX):
                yield value.removeprefix(SCHEMA_PREFIX)
            else:
                yield from _references(value)


_TEXTS, _STRUCTURES = ("text/plain",), (JSON, "multipart/form-data")

#: The files of recorded examples, one for each tag.
EXAMPLES = Path(__file__).parent / "examples"


def read_examples() -> dict[str, dict[str, Any]]:
    """Return the examples by operation id: `parameters` by name, the `request`, and the `answers` by status."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(EXAMPLES.glob("*.json")):
        found |= json.loads(path.read_bytes())
    return found


def add_examples(document: dict[str, Any]) -> None:
    """Add examples to parameters, bodies and successful responses."""
    examples = read_examples()
    for operations in document["paths"].values():
        for operation in operations.values():
            _add(operation, examples.get(operation["operationId"], {}))


def _add(operation: dict[str, Any], example: dict[str, Any]) -> None:
    values = example.get("parameters", {})
    if values:
        operation["parameters"] = [
            {**each, "example": values[each["name"]]} if each["name"] in values else each
            for each in operation["parameters"]
        ]
    if "request" in example:
        _add_to_content(operation["requestBody"], example["request"])
    for status, answer in example.get("answers", {}).items():
        _add_to_content(operation["responses"][status], answer)


def _add_to_content(described: dict[str, Any], example: Any) -> None:
    """Add the example to its media type: a text, or JSON or a form."""
    content = described["content"]
    media_type = next(each for each in content if each in (_TEXTS if isinstance(example, str) else _STRUCTURES))
    # A copy, because several responses may have the same content.
    described["content"] = {**content, media_type: {**content[media_type], "example": example}}
