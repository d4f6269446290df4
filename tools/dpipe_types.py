"""Generate the types of dpipe's answers from the OpenAPI document, and copy the glossary into its package.

Only what the client returns, and what lies directly in it, gets types; deeper parts are `dict[str, Any]`, so that the
file stays small. Enums are `str`, since they may grow.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.openapi import document

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "dpipe" / "src" / "dpipe" / "types.py"
GLOSSARY = ROOT / "docs" / "glossary.md"

#: The components that get types, each after those that it contains.
NAMES = (
    *("TrainingPlan", "Cause", "ProgressView", "MetricsView", "SpeedView", "Checkpoint", "TaskDetails"),
    *("LogLine", "Artifact", "TrainingSample", "Validation"),
    *("ComparedSeries", "ComparedTrainings", "DatasetRow", "ItemView"),
    *("GPUMemory", "GPUInfo"),
)

#: A training may come from a list, whose rows are shorter: the other fields may be missing.
SHORTER = {"TaskDetails": "TaskRow"}

_HEAD = '''"""Types of answers. Generated from the OpenAPI document by tools/dpipe_types.py; do not edit."""
# ruff: noqa: UP013
# fmt: off

from typing import Any, NotRequired, TypedDict
'''

_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


class Types:
    """The types of a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components: dict[str, Any] = document["components"]["schemas"]

    def definition(self, name: str) -> str:
        """Return the definition of a type."""
        schema = self._components[name]
        required = {*self._components[SHORTER.get(name, name)].get("required", [])}
        fields = [
            f'"{key}": {kind if key in required else f"NotRequired[{kind}]"}'
            for key, value in schema["properties"].items()
            for kind in [self.kind(value)]
        ]
        return f'{name} = TypedDict("{name}", {{\n{wrap(fields)}}})'

    def kind(self, schema: dict[str, Any]) -> str:
        """Return the annotation of a value."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return name if name in NAMES else self.kind(self._components[name])
        if "anyOf" in schema:
            kinds = dict.fromkeys(self.kind(each) for each in schema["anyOf"])
            return " | ".join(sorted(kinds, key=lambda kind: kind == "None"))
        if isinstance(schema.get("type"), list):
            return " | ".join(_PLAIN.get(each, "Any") for each in schema["type"])
        if schema.get("type") == "array":
            return f"list[{self.kind(schema.get('items', {}))}]"
        if schema.get("type") == "object":
            return "dict[str, Any]"
        return _PLAIN.get(schema.get("type", "string" if "enum" in schema else ""), "Any")


def wrap(fields: list[str], width: int = 115) -> str:
    """Return the fields in as few lines as fit."""
    lines = [""]
    for field in fields:
        if len(lines[-1]) + len(field) > width and lines[-1]:
            lines.append("")
        lines[-1] += f"{field}, "
    return "\n".join(f"    {line.rstrip()}" for line in lines).removesuffix(",")


def generate(document: dict[str, Any]) -> str:
    """Return the file of types."""
    types = Types(document)
    return "\n".join([_HEAD, *(types.definition(name) for name in NAMES), ""])


if __name__ == "__main__":
    TARGET.write_text(generate(document()), encoding="utf-8")
    TARGET.with_name("glossary.md").write_bytes(GLOSSARY.read_bytes())
