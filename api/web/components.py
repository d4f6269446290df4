"""One component for each type of the OpenAPI document, under the type's own name."""

from typing import Any

PLACE = "#/components/schemas/"


def share_components(document: dict[str, Any]) -> None:
    """Makes one component of the many that APIFlask keeps of a type, one for each answer that holds it.

    A component's title is its name, and no other schema has one: generators of clients name their types by
    titles. Raises ValueError when two different types have one name.
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
    """`TaskDetails` of `TrainingAnswer.TaskDetails`."""
    return name.rpartition(".")[2]


def _plain(node: Any, is_schema: bool = True) -> Any:
    """The node with references to shared components and without titles; `is_schema`: its keys are JSON Schema's."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {}
    for name, value in node.items():
        if is_schema and name == "title" and isinstance(value, str):
            continue
        if name == "$ref" and isinstance(value, str) and value.startswith(PLACE):
            value = PLACE + _own_name(value.removeprefix(PLACE))  # noqa: PLW2901
        # Below `properties` keys are names of fields; examples and defaults are values.
        plain[name] = value if name in ("example", "default", "const", "enum") else _plain(value, name != "properties")
    return plain
