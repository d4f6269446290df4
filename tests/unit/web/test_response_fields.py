"""Fields of responses are required and their enums open; requests and errors are unchanged."""

from typing import Any

from api.web.openapi.components import open_response_enums, require_response_fields


def reference(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def document(**schemas: Any) -> dict[str, Any]:
    operation = {
        "requestBody": reference("Requested"),
        "responses": {"200": reference("Sent"), "404": reference("Failure")},
    }
    return {"components": {"schemas": schemas}, "paths": {"/a": {"get": operation}}}


def shape(*nested: str) -> dict[str, Any]:
    fields = {f"in_{name}": {"anyOf": [reference(name)["schema"]], "default": None} for name in nested}
    return {"properties": {"plain": {"type": "string", "default": "x"}, **fields}}


def test_fields_used_only_by_responses_are_required():
    result = document(Requested=shape("Both"), Sent=shape("Part", "Both"), Part=shape(), Both=shape(), Failure=shape())
    require_response_fields(result)
    schemas = result["components"]["schemas"]
    assert {name: schema.get("required") for name, schema in schemas.items()} == {
        "Requested": None,
        "Sent": ["plain", "in_Part", "in_Both"],
        "Part": ["plain"],
        "Both": None,
        "Failure": None,
    }
    assert "default" not in schemas["Part"]["properties"]["plain"]
    assert "default" in schemas["Both"]["properties"]["plain"]


def test_recursive_types_terminate():
    result = document(Requested=shape(), Sent=shape("Sent"), Failure=shape())
    require_response_fields(result)
    assert result["components"]["schemas"]["Sent"]["required"] == ["plain", "in_Sent"]


def test_enums_of_responses_accept_other_strings_and_those_of_requests_do_not():
    state = {"type": "string", "enum": ["a", "b"]}
    known = reference("State")["schema"]
    fields = {
        "one": {**known, "description": "one"},
        "several": {"type": "array", "items": known},
        "maybe": {"anyOf": [known, {"type": "null"}]},
    }
    result = document(Requested={"properties": {"one": known}}, Sent={"properties": fields}, State=state, Failure={})
    open_response_enums(result)
    schemas = result["components"]["schemas"]
    assert schemas["State"] == state
    assert schemas["Requested"]["properties"] == {"one": known}
    choices = [known, {"type": "string"}]
    assert schemas["Sent"]["properties"] == {
        "one": {"anyOf": choices, "description": "one"},
        "several": {"type": "array", "items": {"anyOf": choices}},
        "maybe": {"anyOf": [*choices, {"type": "null"}]},
    }
