"""Merges equal schemas of the OpenAPI document into one component per type."""

from typing import Any

SCHEMA_PREFIX = "#/components/schemas/"


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
