"""Read which modules a checkout's code imports and which configuration keys it reads. Nothing is executed."""

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeGuard

from api.domain.machines.installation import CheckoutKey
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.config import keys
from api.trainers.diffusion_pipe.config.checkout import parse, read_bytes
from api.trainers.diffusion_pipe.models.registry import MODELS

#: Most source files, bytes of the requirements, and characters of a key or default.
_MAX_FILES, _MAX_BYTES, _MAX_CHARACTERS = 500, 1024 * 1024, 100

#: More nodes than the longest name in `_TABLES` has.
_MAX_NODES = 12

#: Most bits of a default; JSON cannot represent larger integers.
_MAX_BITS = 53

#: Names by which the code calls the tables of a configuration.
_TABLES = {
    "self.config": "",
    "model_config": "model",
    "config['model']": "model",
    "adapter_config": "adapter",
    "config['adapter']": "adapter",
    "optim_config": "optimizer",
    "optimizer_config": "optimizer",
    "config['optimizer']": "optimizer",
    "config['monitoring']": "monitoring",
    "config.get('monitoring', {})": "monitoring",
    "dataset_config": "dataset",
    "directory_config": "dataset",
}

#: The table that the plain name `config` means in a file; elsewhere it is a model's own description.
_PLAIN = {"train.py": "", "dataset.py": "dataset"}
_READERS = frozenset({"get", "pop", "setdefault"})

#: Packages that the trainer's requirements do not list, because their versions depend on the GPU.
_UNLISTED = ("torch", "torchvision", "torchaudio")

#: Import names that differ from the names of their distributions.
_DISTRIBUTIONS = {"pil": "pillow", "optimi": "torch-optimi", "pytorch_optimizer": "pytorch-optimizer"}

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.\-]*)(?:\[[^\]]*\])?\s*(?:==\s*([\w.+!]+))?", re.ASCII)

Default = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class TrainerCode:
    """What the checkout's code requires and reads."""

    imports: tuple[str, ...] = ()  #: modules of other distributions that every training imports
    requirements: Mapping[str, str | None] = field(default_factory=dict)  #: distributions, with pinned versions
    tables: Mapping[str, Mapping[str, Default]] = field(default_factory=dict)  #: keys and their defaults, by table
    names: frozenset[str] = frozenset()  #: all string constants of the code that can be keys

    def reads_new(self, pointer: str) -> bool:
        """Return whether the code reads the key at this pointer into a request, and this service does not know it."""
        table, key = _table_of(pointer), _key_of(pointer)
        return key in self.tables.get(table, {}) and key not in _KNOWN.get(table, ())

    def advice(self, pointer: str) -> Reason:
        """Return advice about the value of the key at this pointer: its default, if known."""
        default = self.tables.get(_table_of(pointer), {}).get(_key_of(pointer))
        if default is None:
            return Reason.of("Read its code.", "advice_read_code")
        return Reason.of("Its default is {default}.", "advice_default", default=json.dumps(default))

    def lacks(self, key: str) -> bool:
        """Return whether the code, as far as it is known, nowhere contains this key."""
        return bool(self.tables.get("")) and key not in self.names

    def new_keys(self) -> tuple[CheckoutKey, ...]:
        """Return the keys that the code reads and that this service does not know."""
        return tuple(
            CheckoutKey(table or "config", key, default)
            for table, read in sorted(self.tables.items())
            if table in _KNOWN
            for key, default in sorted(read.items())
            if key not in _KNOWN[table]
        )


_MODEL_KEYS = frozenset(keys.MODEL).union(*(facts.keys | set(facts.kinds) for facts in MODELS.values()))
_KNOWN: Mapping[str, frozenset[str]] = {
    "": frozenset(keys.TOP) | frozenset(keys.IGNORED),
    "model": _MODEL_KEYS,
    "adapter": frozenset(keys.ADAPTER) | {"alpha"},
    "monitoring": frozenset(keys.MONITORING),
    "dataset": frozenset(keys.DATASET) | frozenset(keys.DIRECTORY),
}


def read_code(root: Path) -> TrainerCode:
    """Read keys, defaults and imports from the checkout's code. Files that cannot be parsed are skipped."""
    requirements = dict(_requirements(root))
    tables: dict[str, dict[str, Default]] = {}
    names: set[str] = set()
    imported: set[str] = set()
    for path, tree in _parse_all(root):
        if path.parent == root or path.parent.name == "utils" or path == root / "models" / "base.py":
            imported.update(_imports(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and _is_plain(node.value):
                names.add(node.value)
            if (found := _key_read(node, _PLAIN.get(path.name))) is not None:
                table, key, default = found
                known = tables.setdefault(table, {})
                known[key] = default if known.get(key) is None else known[key]
    listed = {*(name.lower() for name in requirements), *_UNLISTED}
    needed = [name for name in sorted(imported) if _DISTRIBUTIONS.get(name.lower(), name.lower()) in listed]
    return TrainerCode(tuple(needed), requirements, tables, frozenset(names))


def _parse_all(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    paths = (root / "train.py", *sorted(root.glob("utils/*.py")), *sorted(root.glob("models/**/*.py")))
    for path in paths[:_MAX_FILES]:
        with suppress(OSError, SyntaxError, ValueError):
            yield path, parse(path)


def _requirements(root: Path) -> Iterator[tuple[str, str | None]]:
    with suppress(OSError, ValueError):
        for line in read_bytes(root / "requirements.txt", _MAX_BYTES).decode(errors="replace").splitlines():
            if found := _REQUIREMENT.match(line):
                yield found[1], found[2]


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that are imported unconditionally."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _key_read(node: ast.AST, plain: str | None) -> tuple[str, str, Default] | None:
    """Return the table, key and default if the node reads a key of the configuration.

    `plain` is the table that the name `config` means.
    """
    key: ast.expr | None
    default: ast.expr | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        key, receiver = node.slice, node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _READERS:
        key, receiver = node.args[0] if node.args else None, node.func.value
        default = node.args[1] if len(node.args) > 1 else None
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In):
        key, receiver = node.left, node.comparators[0]
    else:
        return None
    if not isinstance(key, ast.Constant) or not _is_plain(key.value):
        return None
    if len(list(islice(ast.walk(receiver), _MAX_NODES + 1))) > _MAX_NODES:
        return None
    name = ast.unparse(receiver)
    table = plain if name == "config" else _TABLES.get(name, _TABLES.get(name.removeprefix("self.")))
    return None if table is None else (table, key.value, _literal(default))


def _literal(node: ast.expr | None) -> Default:
    """Return a default that JSON can represent, or None."""
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return value if _is_plain(value) else None


def _is_plain(value: object) -> TypeGuard[str]:
    # Not printable are, for example, lone surrogates, which cannot be encoded.
    return isinstance(value, str) and len(value) <= _MAX_CHARACTERS and value.isprintable()


def _table_of(pointer: str) -> str:
    """Return the table of the key at a pointer, such as /config/model/type."""
    first, *tables = pointer.split("/")[1:-1] or [""]
    if first.startswith("dataset"):
        return "dataset"
    return tables[0] if tables else ""


def _key_of(pointer: str) -> str:
    return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
