"""The installed dependencies, and the supported versions of Python."""

import ast
import importlib
import pkgutil
import re
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import api

ROOT = Path(__file__).parents[2]

#: Ranges, and the lock file that pins them.
LOCKS = [
    ("requirements.txt", "requirements/service.lock"),
    ("requirements/otel.txt", "requirements/otel.lock"),
    ("requirements/celery.txt", "requirements/celery.lock"),
    ("requirements/scenes.txt", "requirements/scenes.lock"),
    ("requirements/dev.txt", "requirements/dev.lock"),
]

#: Extras that no test installs.
TRACKERS = [(f"requirements/{name}.txt", f"requirements/{name}.lock") for name in ("wandb", "mlflow", "trackio")]


def test_run_script_parses_on_old_pythons_and_first_checks_the_version():
    tree = ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 7))
    kinds = [type(node).__name__ for node in tree.body[1:3]]
    assert kinds == ["Import", "If"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert "sys.version_info < (3, 11)" in ast.unparse(tree.body[2])
    assert wanted == ">=3.11"


def test_every_directory_with_modules_is_a_package():
    directories = {path.parent for path in (ROOT / "api").rglob("*.py")}
    assert [path for path in directories if not (path / "__init__.py").exists()] == []


#: Programs that run as separate processes with their own path or environment.
PROGRAMS = ("api.__main__", "api.trainers.toy.", "api.db.migrations.", "api.jobs.tracking.")


def test_python_3_11_accepts_every_dataclass_default():
    # Python 3.11 rejects unhashable defaults; later versions check only the type and accept a mapping proxy.
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(api.__path__, "api.")
        if not found.name.startswith(PROGRAMS)
    ]
    classes = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    refused = [
        f"{each.__module__}.{each.__name__}.{one.name}"
        for each in classes
        if is_dataclass(each)
        for one in fields(each)
        if one.default is not MISSING and not _has_hash(one.default)
    ]
    assert refused == []


def _has_hash(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def pins(lock: str) -> list[Requirement]:
    return [Requirement(line.rstrip(" \\")) for line in (ROOT / lock).read_text().splitlines() if line[0] not in "# "]


def ranges(name: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-r")]


@pytest.mark.parametrize(("name", "lock"), [*LOCKS, *TRACKERS])
def test_locked_versions_are_within_the_ranges(name: str, lock: str):
    pinned: dict[str, list[str]] = {}
    for pin in pins(lock):
        pinned.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    for wanted in ranges(name):
        versions = pinned.get(canonicalize_name(wanted.name), [])
        assert versions, f"make lock: {wanted} is not in {lock}"
        assert all(wanted.specifier.contains(version) for version in versions), f"make lock: {wanted}, {versions}"


def test_development_uses_the_versions_of_production():
    # Without environment markers, since some development packages are pinned for more platforms.
    *served, used = ({f"{pin.name}{pin.specifier}" for pin in pins(name)} for _, name in LOCKS)
    assert set().union(*served) <= used


@pytest.mark.parametrize("lock", [lock for _, lock in [*LOCKS, *TRACKERS]])
def test_lock_file_has_hashes_and_names_no_registry(lock: str):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.rstrip("\n"))
    assert [entry for entry in entries if not entry.startswith("#") and "--hash=sha256:" not in entry] == []


def test_hosted_checks_run_make_check_on_every_supported_python():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (listed,) = re.findall(r"python: \[(.*)\]", workflow)
    assert listed == ", ".join(f'"3.{minor}"' for minor in range(11, 15))
    assert "run: bash .ci/run" in workflow
