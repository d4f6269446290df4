"""Which fields of an answer are always there: all of them, as unknown is null and nothing is left out."""

from collections.abc import Iterator
from typing import Any

from api.web.components import PLACE


def require_sent(document: dict[str, Any]) -> None:
    """Makes every field of what only answers hold a required one; a default in a dataclass is the service's own affair.

    What requests hold too stays as it is, and so does what a failure is made of: a mistake may lack its remedy.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    asked = _below([[each.get("requestBody"), each.get("parameters")] for each in operations], schemas)
    sent = _below([each["responses"] for each in operations], schemas)
    for name in sent - asked - _below([{"$ref": f"{PLACE}Failure"}], schemas):
        fields = schemas[name].get("properties")
        if fields:
            schemas[name]["required"] = list(fields)
            for field in fields.values():
                field.pop("default", None)


def _below(node: Any, schemas: dict[str, Any]) -> set[str]:
    """The names of all schemas that are reached from a part of the document."""
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
            if name == "$ref" and isinstance(value, str) and value.startswith(PLACE):
                yield value.removeprefix(PLACE)
            else:
                yield from _references(value)
