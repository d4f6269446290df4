"""What the OpenAPI document says of bodies that the shell takes to disk, and of the headers of tus."""

from typing import Any

from api.util.base_path import BASE_PATH
from api.util.taken_body import PART

_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}

_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def _header(name: str, description: str, schema: dict[str, Any], *, is_required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "required": is_required, "schema": schema}


_VERSION = _header("Tus-Resumable", "The version of tus.", {"type": "string", "enum": ["1.0.0"]}, is_required=True)

_CHECKSUM = _header(
    "Upload-Checksum",
    "What the bytes of this request must have: `sha256` or `sha1`, and the checksum in Base64.",
    {"type": "string", "pattern": "^(sha256|sha1) [A-Za-z0-9+/]+=*$"},
)

_LENGTH = _header("Upload-Length", "The size of the whole upload in bytes.", _COUNT, is_required=True)

_METADATA = _header(
    "Upload-Metadata",
    "Pairs of a name and its value in Base64, by comma: `dataset`, `filename` or `relativePath`, `kind`.",
    {"type": "string", "maxLength": 8192},
    is_required=True,
)

_OFFSET = _header("Upload-Offset", "The byte of the upload that this part begins at.", _COUNT, is_required=True)

#: Headers of answers.
_TOLD: dict[str, Any] = {
    "Upload-Offset": {"description": "Bytes that are here, durably.", "schema": _COUNT},
    "Upload-Length": {"description": "The size of the whole upload in bytes.", "schema": _COUNT},
    "Upload-Expires": {"description": "When what is here is given up.", "schema": {"type": "string"}},
}


def _body(media_type: str, schema: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    return {"required": is_required, "content": {media_type: {"schema": schema}}}


#: What is added to the operations at these addresses, by method.
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


#: What the fields with the file of a form are for, by the address of the form.
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
    """Adds them to the paths and schemas of a document; `forms` has by their address the schemas of the fields beside
    the file of a form, `retrying` is the header that makes a retry safe.
    """
    for path, methods in DESCRIBED.items():
        for method, told in methods.items():
            operation = paths[path][method]
            operation.setdefault("parameters", []).extend(told["parameters"])
            operation |= {name: told[name] for name in ("requestBody",) if name in told}
            success = next(each for status, each in operation["responses"].items() if status.startswith("2"))
            if told["headers"]:
                success["headers"] = told["headers"]
    for path, form in forms.items():
        files = {name: {**_BYTES, "description": text} for name, text in FORM_FILES[path].items()}
        schemas[form["title"]] = {**form, "properties": {**files, **form["properties"]}}
        upload = paths[path]["post"]
        if "201" not in upload["responses"]:  # where something is made at once, it has the header already
            upload.setdefault("parameters", []).append(retrying)
        reference = {"$ref": f"#/components/schemas/{form['title']}"}
        upload["requestBody"] = _body("multipart/form-data", reference, is_required=True)
