"""The OpenAPI descriptions of bodies that are stored on disk, and of the headers of tus."""

from typing import Any

from api.util.base_path import BASE_PATH
from api.util.stored_form import PART

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

#: Headers of responses.
_TOLD: dict[str, Any] = {
    "Upload-Offset": {"description": "Bytes that are stored durably.", "schema": _COUNT},
    "Upload-Length": {"description": "The size of the whole upload in bytes.", "schema": _COUNT},
    "Upload-Expires": {"description": "When an unfinished upload is deleted.", "schema": {"type": "string"}},
}


def _body(media_type: str, schema: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    return {"required": is_required, "content": {media_type: {"schema": schema}}}


#: Additions to the operations at these addresses, by method.
DESCRIBED: dict[str, dict[str, dict[str, Any]]] = {
    f"{BASE_PATH}/uploads": {
        "post": {
            "parameters": [_VERSION, _LENGTH, _METADATA, _CHECKSUM],
            "requestBody": _body(PART, _BYTES, is_required=False),
            "headers": _TOLD,
        }
    },
    f"{BASE_PATH}/uploads/{{upload_id}}": {
        "get": {"parameters": [], "headers": _TOLD},
        "patch": {
            "parameters": [_VERSION, _OFFSET, _CHECKSUM],
            "requestBody": _body(PART, _BYTES, is_required=True),
            "headers": _TOLD,
        },
        "delete": {"parameters": [_VERSION], "headers": {}},
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
            success = next(each for status, each in operation["responses"].items() if status.startswith("2"))
            if additions["headers"]:
                success["headers"] = additions["headers"]
    for path, form in forms.items():
        files = {name: {**_BYTES, "description": text} for name, text in FORM_FILES[path].items()}
        schemas[form["title"]] = {**form, "properties": {**files, **form["properties"]}}
        upload = paths[path]["post"]
        if "201" not in upload["responses"]:  # with 201 the header is there already
            upload.setdefault("parameters", []).append(retrying)
        reference = {"$ref": f"#/components/schemas/{form['title']}"}
        upload["requestBody"] = _body("multipart/form-data", reference, is_required=True)
