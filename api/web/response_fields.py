"""Marks all fields of responses as required, because they are always sent; unknown values are null."""

from collections.abc import Iterator
from typing import Any

from api.web.components import SCHEMA_PREFIX


def require_response_fields(document: dict[str, Any]) -> None:
    """Mark every field of schemas used only by responses as required, regardless of defaults in dataclasses.

    Schemas that requests use, too, are unchanged, as are those of errors, where a mistake may have no remedy.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    requested = _below([[each.get("requestBody"), each.get("parameters")] for each in operations], schemas)
    sent = _below([each["responses"] for each in operations], schemas)
    for name in sent - requested - _below([{"$ref": f"{SCHEMA_PREFIX}Failure"}], schemas):
        fields = schemas[name].get("properties")
        if fields:
            schemas[name]["required"] = list(fields)
            for field in fields.values():
                field.pop("default", None)


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
