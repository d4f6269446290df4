"""Two users, every key of a request, and every spelling of a path: only permitted paths are accepted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.access.readable_paths import NOT_PERMITTED, ReadablePaths
from api.domain.access.read_scope import WHOLE, ReadScope
from api.domain.tasks.training import TrainingRequest
from api.trainers.diffusion_pipe.config import keys
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.environment import VARIABLES, VariableKind
from api.trainers.request_texts import REPLACED, texts_in
from api.trainers.toml_text import write_exactly
from api.trainers.toy.trainer import Toy
from tests.unit.access.locations import ANN, BOB, HASH, make_files, paths_of

#: Spellings of a path, as functions of the absolute one.
WAYS: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda path, root: str(path),
    "with dots": lambda path, root: f"{root}/pipe/./configs/..//../{path.relative_to(root)}",
    "relative": lambda path, root: os.path.relpath(path, root / "pipe"),
    "link": lambda path, root: str(_link(root / "link", path)),
    "chain": lambda path, root: str(_link(root / "chain", _link(root / "pipe" / "first", Path("../middle"), path))),
    "below a link": lambda path, root: f"{_link(root / 'above', path.parent)}/{path.name}",
    "link in the checkout": lambda path, root: _link(root / "pipe" / "configs" / "own", path).name and "configs/own",
}


def _link(at: Path, target: Path, behind: Path | None = None) -> Path:
    if behind is not None:
        at.parent.joinpath(target).symlink_to(behind)
    at.symlink_to(target)
    return at


def _config(value: Any) -> dict[str, Any]:
    """Return a configuration with every known key, and one that the trainer may add in future."""
    kinds = {name for facts in MODELS.values() for name in facts.kinds}
    names = {
        "model": (*keys.MODEL, *kinds, "of tomorrow"),
        "adapter": (*keys.ADAPTER, "of tomorrow"),
        "monitoring": keys.MONITORING,
        "optimizer": ("type", "anything"),
    }
    plain = dict.fromkeys((name for name in (*keys.TOP, "of tomorrow") if name not in {*REPLACED, *names}), value)
    return plain | {table: dict.fromkeys(inner, value) for table, inner in names.items()}


def _dataset(value: Any) -> dict[str, Any]:
    plain = dict.fromkeys((name for name in (*keys.DATASET, "of tomorrow") if name != "directory"), value)
    return plain | {"directory": [dict.fromkeys((*keys.DIRECTORY, "of tomorrow"), value)]}


def whole_request(value: Any, *, as_text: bool = False) -> TrainingRequest:
    """Return a request with this value under every key."""
    if as_text:
        return TrainingRequest(
            "flux", config_toml=write_exactly(_config(value)), dataset_toml=write_exactly(_dataset(value))
        )
    return TrainingRequest("flux", config=_config(value), dataset=_dataset(value))


#: Values under a key, with their number of texts; keys for lists of files have them at a deeper level.
SHAPES: list[tuple[Callable[[str], Any], int]] = [
    (lambda text: text, 1),
    (lambda text: [text], 1),
    (lambda text: [{"path": text, "paths": [text]}], 2),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_files(tmp_path)
    return tmp_path


@pytest.fixture
def paths(root: Path) -> ReadablePaths:
    return paths_of(root)


def with_adapter(text: str) -> TrainingRequest:
    return TrainingRequest("flux", config={"adapter": {"init_from_existing": text}})


def refused(paths: ReadablePaths, request: TrainingRequest, root: Path, scope: ReadScope = ANN) -> list[str]:
    trainer = DiffusionPipe(root / "pipe", "python")
    found = paths.check_request(request, trainer, root / "storage" / "tasks" / "ann" / "attempts" / "1", scope)
    assert {mistake.code for mistake in found} <= {NOT_PERMITTED.code}
    return [mistake.pointer for mistake in found]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("as_text", [False, True], ids=["values", "text"])
def test_no_key_reads_another_users_run(paths: ReadablePaths, root: Path, way: str, as_text: bool):
    text = WAYS[way](root / "storage" / "tasks" / "bob" / "output" / "20260101_00-00-00", root)
    of_config, of_dataset = len(list(texts_in(_config(""), ""))), len(list(texts_in(_dataset(""), "")))
    assert (of_config > 80, of_dataset > 30) == (True, True)
    for shape, texts in SHAPES:
        request = whole_request(shape(text), as_text=as_text)
        assert len(refused(paths, request, root)) == texts * (of_config + of_dataset)
        # The owner may continue from it, but not use it as a dataset: the trainer would write into it.
        for scope in (BOB, WHOLE):
            at = refused(paths, request, root, scope)
            assert len(at) == texts * of_dataset
            assert all(each.startswith("/dataset") for each in at)


@pytest.mark.parametrize("way", WAYS)
def test_protected_files_are_refused_to_everyone(paths: ReadablePaths, root: Path, way: str):
    for number, place in enumerate(
        (
            "storage",
            "storage/database.sqlite",
            "storage/no such file",
            "storage/tasks/ann/secrets.json",
            "storage/tasks/ann/attempts/1",
            "storage/tasks/ann/datasets/cats",
            "storage/tasks/no such task/output/x",
            "storage/uploads/1",
            "secret.key",
        )
    ):
        inner = root / f"at{number}"
        make_files(inner)
        text = WAYS[way](inner / place, inner)
        for scope in (ANN, BOB, WHOLE):
            assert refused(paths_of(inner), with_adapter(text), inner, scope) == [
                "/config/adapter/init_from_existing"
            ], place


@pytest.mark.parametrize("way", WAYS)
def test_public_files_are_accepted(paths: ReadablePaths, root: Path, way: str):
    text = WAYS[way](root / "storage" / "models" / "flux", root)
    assert refused(paths, whole_request(text), root) == []


@pytest.mark.parametrize(
    ("place", "may"),
    [
        ("registered/bob/deep", False),
        ("registered", True),
        (f"storage/registry/blobs/{HASH[:2]}/{HASH}", False),
        ("loras/hers.safetensors", False),
        ("loras/other.safetensors", True),
        ("pipe/configs", True),
        ("elsewhere", True),
    ],
)
def test_owned_files_are_accepted_for_users_who_see_them(paths: ReadablePaths, root: Path, place: str, may: bool):
    request = with_adapter(str(root / place))
    assert [bool(refused(paths, request, root, scope)) for scope in (ANN, BOB, WHOLE)] == [not may, False, False]


def test_evaluation_dataset_is_searched_for_paths(paths: ReadablePaths, root: Path):
    file = root / "eval.toml"
    file.write_text("[[directory]]\npath = '../storage/tasks/bob/output'\n")
    for config in (
        {"eval_datasets": [{"name": "e", "config": "../eval.toml"}]},
        {"eval": {"datasets": [{"config": str(file)}]}},
    ):
        at = refused(paths, TrainingRequest("flux", config=config, dataset={"directories": []}), root)
        assert at == [f"/config/{'eval_datasets' if 'eval_datasets' in config else 'eval/datasets'}/0/config"]
    file.write_text("[[directory]]\npath = '/srv/cats'\n")
    assert refused(paths, TrainingRequest("flux", config=config, dataset={"directories": []}), root) == []


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "x" * 300, "x" * 5000, "a\nb", "\ud800", "", "~", "a/" * 2000, "/" * 4000]
)
def test_texts_that_cannot_be_paths_are_left_to_other_checks(paths: ReadablePaths, root: Path, text: str):
    assert refused(paths, whole_request(text), root) == []
    assert paths.find_examined(text, ANN) is None


@pytest.mark.parametrize("text", ["/proc/self/cwd/../storage", "/proc/self/environ", "/sys/kernel", "/dev/fd/0"])
def test_process_files_of_the_kernel_are_refused(paths: ReadablePaths, root: Path, text: str):
    assert refused(paths, with_adapter(text), root, WHOLE) == ["/config/adapter/init_from_existing"]


def test_variables_in_paths_are_resolved(paths: ReadablePaths, root: Path):
    names = [name for name, variable in VARIABLES.items() if variable.kind is VariableKind.PATH]
    env = dict.fromkeys(names, str(root / "storage" / "tasks" / "bob" / "output"))
    assert sorted(refused(paths, TrainingRequest("flux", env=env), root)) == sorted(f"/env/{name}" for name in names)
    assert refused(paths, TrainingRequest("flux", env={"HF_HOME": str(root / "storage" / "caches" / "hf")}), root) == []


def test_keys_that_the_service_replaces_may_have_the_values_of_a_plan(paths: ReadablePaths, root: Path):
    config = {name: str(root / "storage" / "tasks" / "bob" / "output") for name in REPLACED}
    assert refused(paths, TrainingRequest("flux", config=config), root) == []


def test_trainer_without_a_checkout_opens_no_relative_path(paths: ReadablePaths, root: Path):
    request = TrainingRequest("flux", config={"a": "../storage", "b": str(root / "storage")})
    found = paths.check_request(request, DiffusionPipe(None, None), root, ANN)
    assert [mistake.pointer for mistake in found] == ["/config/b"]


def test_toy_runs_in_the_directory_of_its_attempt(paths: ReadablePaths, root: Path):
    attempt = root / "storage" / "tasks" / "ann" / "attempts" / "1"
    request = TrainingRequest("toy", config={"a": "constant", "b": "../../secrets.json", "c": "../../../bob/output"})
    found = paths.check_request(request, Toy(), attempt, ANN)
    assert sorted(mistake.pointer for mistake in found) == ["/config/b", "/config/c"]


def test_weights_are_examined_below_model_directories_only(paths: ReadablePaths, root: Path):
    own = "storage/tasks/ann/output/20260101_00-00-00"
    for place, seen_by in {
        "storage/models": (ANN, BOB, WHOLE),
        own: (ANN, WHOLE),
        f"storage/registry/blobs/{HASH[:2]}/{HASH}": (BOB, WHOLE),
        "loras/hers.safetensors": (BOB, WHOLE),
        "loras/other.safetensors": (ANN, BOB, WHOLE),
        "registered/bob": (WHOLE,),
        "pipe/configs": (WHOLE,),
        "secret.key": (),
        "storage/database.sqlite": (),
    }.items():
        found = tuple(scope for scope in (ANN, BOB, WHOLE) if paths.find_examined(str(root / place), scope) is not None)
        assert found == seen_by, place


def test_directory_with_protected_files_is_not_registered(paths: ReadablePaths, root: Path):
    (root / "cats").mkdir()
    locations = ("cats", "registered", "registered/bob", "storage/tasks/ann/output", "storage", "")
    for scope, expected in ((ANN, ["cats"]), (BOB, ["cats", "registered", "registered/bob"])):
        assert [place for place in locations if paths.may_register(root / place, scope)] == expected
