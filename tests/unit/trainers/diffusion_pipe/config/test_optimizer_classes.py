"""Reading the optimizers of pytorch_optimizer from its source."""

from collections.abc import Callable
from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.config.optimizer_classes import find_classes
from tests.unit.trainers.diffusion_pipe.builders import Case

SOURCE = """
from torch.optim import Optimizer


class BaseOptimizer(Optimizer):
    pass


class Helper:
    pass


class Newest(BaseOptimizer):
    def __init__(self, params, phases, lr=1e-3, betas=(0.9, 0.99, 0.999), mode='a', *, size=1):
        self.validate_positive(size, 'size')
        self.validate_non_negative(lr, 'lr')
        self.validate_options(mode, 'mode', ['a', 'b'])

    def step(self, closure=None):
        for group in self.param_groups:
            beta1, beta2, beta3 = group['betas']


class Child(Newest):
    def train(self):
        pass

    def eval(self):
        pass
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An environment whose pytorch_optimizer has the source above. Its interpreter is a link, as in an environment."""
    package = tmp_path / "venv" / "lib" / "python3.12" / "site-packages" / "pytorch_optimizer" / "optimizer"
    package.mkdir(parents=True)
    (package / "newest.py").write_text(SOURCE)
    (package / "__init__.py").write_text("from torch.optim import NAdam\nfrom .newest import Child, Helper, Newest\n")
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to("/bin/true")
    return str(tmp_path / "venv" / "bin" / "python")


def test_classes_are_read_from_the_environment(python: str):
    found = find_classes(python)
    assert found.is_installed
    assert sorted(found.by_name) == ["Child", "NAdam", "Newest"]
    newest = found.by_name["Newest"]
    assert newest.required == ("phases",)
    assert newest.arguments == ("phases", "lr", "betas", "mode", "size")
    assert (newest.betas, newest.positive, newest.not_negative) == (3, ("size",), ("lr",))
    assert newest.options == {"mode": ("a", "b")}
    assert not newest.accepts_any
    assert found.by_name["Child"].has_modes


@pytest.mark.parametrize("python", [None, "/usr/bin/env", "relative/python", ""])
def test_a_table_replaces_a_missing_environment(python: str | None):
    found = find_classes(python)
    assert not found.is_installed
    assert found.by_name["SOAP"].positive == ("precondition_frequency", "max_precondition_dim")


def test_unreadable_package_counts_as_missing(python: str):
    package = Path(python).parent.parent / "lib/python3.12/site-packages/pytorch_optimizer/optimizer"
    (package / "newest.py").write_text("class (")
    assert not find_classes(python).is_installed


@pytest.mark.parametrize(
    ("optimizer", "pointer", "words"),
    [
        ({"type": "Newest"}, "/config/optimizer/phases", "Set `phases`"),
        ({"type": "Newest", "phases": 2, "phasing": 1}, "/config/optimizer/phasing", "has no argument"),
        ({"type": "Newest", "phases": 2, "mode": "c"}, "/config/optimizer/mode", "a, b"),
        ({"type": "Lion"}, "/config/optimizer/type", "installed pytorch_optimizer"),
        ({"type": "newest"}, "/config/optimizer/type", "case-sensitive"),
    ],
)
def test_optimizer_is_checked_by_the_installed_package(
    case: Case, python: str, optimizer: dict[str, object], pointer: str, words: str
):
    case.trainer._python = python
    case.config["optimizer"] = {"lr": 1e-4, **optimizer}
    mistake = case.only_error()
    assert mistake.pointer == pointer
    assert words in f"{mistake.message} {mistake.remedy}"


@pytest.mark.parametrize(
    ("change", "is_missing"),
    [
        (lambda packages: None, True),
        (lambda packages: (packages / "torch").rmdir(), False),  # not an environment of the trainer
        (lambda packages: (packages / "__editable__.pytorch_optimizer-3.pth").write_text("import x"), False),
        (lambda packages: (packages / "more.pth").write_text("/opt/packages\n"), False),
        (lambda packages: (packages.parents[2] / "pyvenv.cfg").unlink(), False),
        (
            lambda packages: (packages.parents[2] / "pyvenv.cfg").write_text("include-system-site-packages = true\n"),
            False,
        ),
    ],
)
def test_optimizer_is_an_error_only_if_the_environment_surely_lacks_the_package(
    case: Case, tmp_path: Path, change: Callable[[Path], object], is_missing: bool
):
    packages = tmp_path / "bare" / "lib" / "python3.12" / "site-packages"
    (packages / "torch").mkdir(parents=True)
    (tmp_path / "bare" / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    (tmp_path / "bare" / "bin").mkdir()
    (tmp_path / "bare" / "bin" / "python").symlink_to("/bin/true")
    change(packages)
    case.trainer._python = str(tmp_path / "bare" / "bin" / "python")
    case.config["optimizer"] = {"type": "PagedAdamW32bit", "lr": 1e-4}
    found = case.check()
    assert [each.pointer for each in found.errors] == ["/config/optimizer/type"] * is_missing
    assert [each.pointer for each in found.warnings] == ["/config/optimizer/type"] * (not is_missing)
    case.config["optimizer"]["type"] = "Lion"
    found = case.check()
    assert [("Install pytorch-optimizer" in str(each.remedy)) for each in found.errors] == [True] * is_missing


@pytest.mark.parametrize("source", ["def broken(:", "-" * 7000 + "1", "class A(B): ...\nclass B(A): ..."])
def test_package_that_cannot_be_read_counts_as_not_installed(python: str, source: str):
    (package,) = Path(python).parent.parent.glob("lib/*/*/pytorch_optimizer/optimizer")
    (package / "newest.py").write_text(source)
    (package / "__init__.py").write_text("from .newest import A")
    assert not find_classes(python).is_installed
