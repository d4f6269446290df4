"""The optimizers of the package pytorch_optimizer and their arguments, read from its source without executing it.

The source is that in the trainer's environment. Without one, a table of version 4.1.0 applies, made by
`python -m api.trainers.diffusion_pipe.config.optimizer_classes SITE_PACKAGES`.
"""

import ast
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from api.trainers.diffusion_pipe.config.checkout import parse

_TABLE = Path(__file__).with_name("optimizer_classes.json")

#: Base classes of every optimizer: of the package, and of torch.
_BASES = frozenset({"BaseOptimizer", "Optimizer"})

#: A key that some optimizers read from each group of parameters. The trainer does not set it.
_GROUP_KEY = "use_muon"


@dataclass(frozen=True, slots=True)
class OptimizerClass:
    """The arguments of an optimizer, and what it expects from a training loop."""

    first: str = "params"  #: the first argument, which the trainer fills with parameters
    arguments: tuple[str, ...] = ()  #: names of the others; empty if unknown
    required: tuple[str, ...] = ()
    accepts_any: bool = False  #: whether other arguments are accepted, and ignored
    betas: int | None = None  #: the number of betas, if it must be exactly this
    positive: tuple[str, ...] = ()
    not_negative: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    has_modes: bool = False  #: whether `eval()` must be called before weights are saved
    needs_closure: bool = False  #: whether a step needs a function that computes the loss again
    needs_groups: bool = False  #: whether each group of parameters needs a key of its own
    needs_graph: bool = False  #: whether a step computes second derivatives, for which gradients need their graph

    @property
    def fits(self) -> bool:
        """Whether the trainer can create it and take steps with it."""
        return self.first == "params" and not (self.needs_closure or self.needs_groups or self.needs_graph)


@dataclass(frozen=True, slots=True)
class OptimizerClasses:
    """The optimizers by name; `is_installed` says whether they were read from the trainer's environment."""

    by_name: Mapping[str, OptimizerClass]
    is_installed: bool
    is_missing: bool = False  #: whether the environment is known to lack the package


def find_classes(python: str | None) -> OptimizerClasses:
    """Return the optimizers in the environment of this interpreter, or else those of the table."""
    package = _find_package(python)
    if package is not None:
        try:
            found = _read_once(package, (package / "optimizer" / "__init__.py").stat().st_mtime_ns)
        except OSError:
            found = {}
        if found:
            return OptimizerClasses(found, is_installed=True)
    return OptimizerClasses(_read_table(), is_installed=False, is_missing=package is None and _lacks_package(python))


def read_package(package: Path) -> dict[str, OptimizerClass]:
    """Return the optimizers that the package exports. Raise OSError, SyntaxError or ValueError."""
    trees = [parse(path) for path in sorted((package / "optimizer").rglob("*.py"))]
    classes = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    exported = parse(package / "optimizer" / "__init__.py")
    found = {}
    for module, name in _imports(exported):
        if module.startswith("torch.optim") and name != "Optimizer":
            # Its arguments are torch's. Of these optimizers, only this one cannot do without a closure.
            found[name] = OptimizerClass(accepts_any=True, needs_closure=name == "LBFGS")
        elif name in classes and _is_optimizer(classes[name], classes):
            found[name] = _read_class(classes[name], classes)
    return found


def _find_package(python: str | None) -> Path | None:
    if not python:
        return None
    # The interpreter of a virtual environment is a link out of it, so links are not resolved.
    environment = Path(python).absolute().parent.parent
    try:
        return next(iter(sorted(environment.glob("lib/python3*/*-packages/pytorch_optimizer"))), None)
    except (OSError, ValueError):
        return None


def _lacks_package(python: str | None) -> bool:
    """Return whether the interpreter's environment has the trainer's packages, but not this one.

    Only a virtual environment proves it: other interpreters also import from the directories of the system or user.
    """
    if not python:
        return False
    environment = Path(python).absolute().parent.parent
    try:
        settings = (environment / "pyvenv.cfg").read_text()
        (packages,) = environment.glob("lib/python3*/site-packages")
        paths = [line for file in packages.glob("*.pth") for line in file.read_text().splitlines()]
        return (
            not re.search(r"include-system-site-packages\s*=\s*true", settings, re.IGNORECASE)
            and (packages / "torch").is_dir()
            and not any(packages.glob("*pytorch_optimizer*"))
            and not any(os.path.isabs(path) for path in paths)
        )
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=2)
def _read_once(package: Path, changed_ns: int) -> dict[str, OptimizerClass]:
    """Return the optimizers, or none if the source cannot be read. A failure is remembered, too: it takes seconds."""
    try:
        return read_package(package)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}


@cache
def _read_table() -> dict[str, OptimizerClass]:
    return {name: _as_class(values) for name, values in json.loads(_TABLE.read_text()).items()}


def _as_class(values: Mapping[str, Any]) -> OptimizerClass:
    options = {name: tuple(each) for name, each in values.get("options", {}).items()}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return OptimizerClass(**{**values, **lists, "options": options})


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", each.asname or each.name) for each in node.names)


def _bases(node: ast.ClassDef) -> list[str]:
    return [each.id if isinstance(each, ast.Name) else getattr(each, "attr", "") for each in node.bases]


def _is_optimizer(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> bool:
    return any(
        name in _BASES or (name in classes and name != node.name and _is_optimizer(classes[name], classes))
        for name in _bases(node)
    )


def _methods(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> dict[str, ast.FunctionDef]:
    """Return the methods of a class and of its bases in the package, except the common base of all."""
    found: dict[str, ast.FunctionDef] = {}
    for name in _bases(node):
        if name in classes and name not in _BASES and name != node.name:
            found.update(_methods(classes[name], classes))
    found.update({each.name: each for each in node.body if isinstance(each, ast.FunctionDef)})
    return found


def _read_class(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> OptimizerClass:
    methods = _methods(node, classes)
    create = methods.get("__init__")
    if create is None:
        return OptimizerClass(accepts_any=True)
    names = [each.arg for each in (*create.args.posonlyargs, *create.args.args)][1:]
    without_default = set(names[: len(names) - len(create.args.defaults)])
    for argument, default in zip(create.args.kwonlyargs, create.args.kw_defaults, strict=True):
        names.append(argument.arg)
        if default is None:
            without_default.add(argument.arg)
    checks = _Checks(create)
    return OptimizerClass(
        first=names[0] if names else "params",
        arguments=tuple(names[1:]),
        required=tuple(name for name in names[1:] if name in without_default),
        accepts_any=create.args.kwarg is not None,
        betas=_count_unpacked(methods.values(), "betas") if "betas" in names else None,
        positive=tuple(checks.positive),
        not_negative=tuple(checks.not_negative),
        options=checks.options,
        has_modes={"train", "eval"} <= methods.keys(),
        needs_closure=_raises(methods.get("step"), "NoClosureError"),
        needs_groups=any(_subscripts(each, _GROUP_KEY) for each in methods.values()),
        needs_graph=_calls(methods.get("step"), "compute_hutchinson_hessian"),
    )


class _Checks:
    """The conditions that an optimizer's `__init__` checks by methods of its base class."""

    def __init__(self, create: ast.FunctionDef) -> None:
        self.positive: list[str] = []
        self.not_negative: list[str] = []
        self.options: dict[str, tuple[str, ...]] = {}
        for node in create.body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                self._read(node.value)

    def _read(self, call: ast.Call) -> None:
        name = call.args[0].id if call.args and isinstance(call.args[0], ast.Name) else None
        if name is None or not isinstance(call.func, ast.Attribute):
            return
        if call.func.attr == "validate_positive":
            self.positive.append(name)
        elif call.func.attr in ("validate_non_negative", "validate_learning_rate"):
            self.not_negative.append(name)
        elif call.func.attr == "validate_options" and len(call.args) == 3:
            choices = call.args[2]
            if isinstance(choices, ast.List | ast.Tuple):
                self.options[name] = tuple(str(each.value) for each in choices.elts if isinstance(each, ast.Constant))


def _raises(method: ast.FunctionDef | None, error: str) -> bool:
    """Return whether a method raises this error."""
    return method is not None and any(
        isinstance(node, ast.Raise) and node.exc is not None and error in ast.dump(node.exc)
        for node in ast.walk(method)
    )


def _subscripts(method: ast.FunctionDef, key: str) -> bool:
    """Return whether a method reads this key of a mapping without a default."""
    return any(
        isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == key
        for node in ast.walk(method)
    )


def _calls(method: ast.FunctionDef | None, name: str) -> bool:
    """Return whether a method calls another of this name."""
    return method is not None and any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
        for node in ast.walk(method)
    )


def _count_unpacked(methods: Iterable[ast.FunctionDef], key: str) -> int | None:
    """Return into how many names the values of a group's key are unpacked, or None if they are not."""
    for node in (each for method in methods for each in ast.walk(method)):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Subscript)
            and isinstance(node.value.slice, ast.Constant)
            and node.value.slice.value == key
        ):
            return len(node.targets[0].elts)
    return None


def _print_table(site_packages: str) -> None:
    plain = asdict(OptimizerClass())
    lines = []
    for name, found in sorted(read_package(Path(site_packages) / "pytorch_optimizer").items()):
        values = {key: value for key, value in asdict(found).items() if value != plain[key]}
        lines.append(f"{json.dumps(name)}: {json.dumps(values)}")
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    _print_table(sys.argv[1])
