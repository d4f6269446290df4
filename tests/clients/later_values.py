"""Answers of a later version: every open enum has a value that today's clients do not know."""

from collections.abc import Iterator
from typing import Any

import jsonschema

from tests.clients.conftest import example_answers

LATER = "a_later_value"


def with_later_values(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """Return an answer with another value in place of each that its schema lists and leaves open."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = schema.get("anyOf")
    if choices is not None:
        if isinstance(value, str):
            return LATER if {"type": "string"} in choices and any("$ref" in each for each in choices) else value
        schema = next(each for each in choices if _fits(value, each, document))
        return with_later_values(value, schema, document) if "$ref" in schema or value is not None else value
    if isinstance(value, list) and "items" in schema:
        return [with_later_values(each, schema["items"], document) for each in value]
    if isinstance(value, dict):
        other = schema.get("additionalProperties")
        fields = {name: schema.get("properties", {}).get(name, other) for name in value}
        return {
            name: with_later_values(value[name], field, document) if isinstance(field, dict) else value[name]
            for name, field in fields.items()
        }
    return value


def _fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator({**schema, "components": document["components"]}).is_valid(value)


def later_answers(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, Any]]:
    """Yield operation id, path, method, status and the example of each JSON answer, with later values."""
    for name, path, method, status, answer in example_answers(document):
        schema = document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        yield name, path, method, status, with_later_values(answer, schema, document)
