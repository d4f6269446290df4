"""Copies of a type become one component."""

import pytest

from api.web.openapi.components import share_components


def document(**schemas):
    return {
        "components": {"schemas": {name.replace("__", "."): schema for name, schema in schemas.items()}},
        "paths": {},
    }


def test_copies_of_a_type_become_one():
    doc = document(A__Page={"title": "Page", "type": "object"}, B__Page={"title": "Page", "type": "object"})
    share_components(doc)
    assert doc["components"]["schemas"] == {"Page": {"title": "Page", "type": "object"}}


def test_references_follow_their_types():
    doc = document(A={"properties": {"page": {"$ref": "#/components/schemas/A.Page"}}}, A__Page={"type": "object"})
    doc["paths"] = {"/a": {"get": {"schema": {"$ref": "#/components/schemas/A.Page"}}}}
    share_components(doc)
    assert doc["components"]["schemas"]["A"]["properties"]["page"] == {"$ref": "#/components/schemas/Page"}
    assert doc["paths"]["/a"]["get"]["schema"] == {"$ref": "#/components/schemas/Page"}


def test_two_types_with_one_name_are_refused():
    with pytest.raises(ValueError, match="Page"):
        share_components(document(A__Page={"type": "object"}, B__Page={"type": "string"}))


def test_field_called_title_stays():
    doc = document(A={"type": "object", "properties": {"title": {"type": "string", "title": "Title"}}})
    share_components(doc)
    assert doc["components"]["schemas"]["A"]["properties"] == {"title": {"type": "string"}}


def test_values_of_examples_are_unchanged():
    doc = document(A={"example": {"title": "a book", "$ref": "#/components/schemas/A.B"}})
    share_components(doc)
    assert doc["components"]["schemas"]["A"]["example"] == {"title": "a book", "$ref": "#/components/schemas/A.B"}
