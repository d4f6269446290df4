import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.tasks.training import GPURequest, TrainingRequest
from api.trainers.diffusion_pipe.config.keys import ADAPTER, DATASET, DIRECTORY, MODEL, TOP
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.lengths import length
from tests.unit.trainers.diffusion_pipe.builders import Case, make_trainer

texts = st.text(max_size=12) | st.sampled_from(["", "/", "/dev/zero", "/proc/self/mem", "\0", "\ud800", "~/x", "a/b"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**63, 10**400, 1e308, -1e-308, float("inf")])
    | st.floats()
    | texts
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def table(*names: str, **known: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(st.sampled_from(sorted(names)) | texts, anything, max_size=6).flatmap(
        lambda values: st.fixed_dictionaries({}, optional=known).map(lambda more: {**values, **more})
    )


names = sorted({name for facts in MODELS.values() for name in (*facts.kinds, *facts.keys)} | MODEL.keys())
configs = table(
    *TOP,
    "save",
    "eval",
    "optimization",
    model=table(*names, type=st.sampled_from(sorted(MODELS))) | anything,
    adapter=table(*ADAPTER) | anything,
    optimizer=table("type", "lr", "betas", "gradient_release", "beta2_half_life") | anything,
    save=table("every_n_epochs", "dtype") | anything,
    eval=table("datasets", "every_n_epochs") | anything,
    monitoring=table("enable_wandb", "wandb_api_key") | anything,
)
datasets = table(*DATASET, directories=st.lists(table(*DIRECTORY) | anything, max_size=3) | anything)


def assert_answers(trainer: DiffusionPipe, request: TrainingRequest) -> None:
    found = trainer.check(request, Path("/tmp/task/output"))
    for mistake in (*found.errors, *found.warnings):
        assert mistake.pointer == "" or mistake.pointer.startswith("/")
        json.dumps(asdict(mistake), ensure_ascii=False).encode()
    assert found.errors or found.plan is not None
    assert bool(found.plan and found.plan.command) == (not found.errors)


@settings(max_examples=length(300, 60), deadline=None)
@given(
    config=configs | anything,
    dataset=datasets | anything,
    model_type=st.sampled_from(["", "nothing", *sorted(MODELS)]),
    gpus=st.integers(1, 8),
)
def test_any_json_can_be_checked(config: Any, dataset: Any, model_type: str, gpus: int):
    with tempfile.TemporaryDirectory() as directory:
        trainer = make_trainer(Path(directory))
        request = TrainingRequest(model_type=model_type, gpus=GPURequest(count=gpus), config=config, dataset=dataset)
        assert_answers(trainer, request)


lines = st.sampled_from(
    [
        "epochs = 1",
        "epochs = 1.5",
        "[model]",
        "type = 'sdxl'",
        "dtype = 'bfloat16'",
        "[[directory]]",
        "path = '/tmp'",
        "resolutions = [512]",
        "resolutions = [[512, 1], 3]",
        "[adapter]",
        "[optimizer]",
        "a.b.c = 1",
        "x = {a = 1, b = {c = 'd'}}",
        'y = """',
        "'''",
        "[[",
        "=",
        "d = 1979-05-27",
        "[a.'b.c']",
    ]
)


@settings(max_examples=length(200, 50), deadline=None)
@given(
    config=st.lists(lines, max_size=12).map("\n".join) | st.text(), dataset=st.lists(lines, max_size=6).map("\n".join)
)
def test_any_text_can_be_checked(config: str, dataset: str):
    with tempfile.TemporaryDirectory() as directory:
        request = TrainingRequest(model_type="sdxl", config_toml=config, dataset_toml=dataset)
        assert_answers(make_trainer(Path(directory)), request)


@settings(max_examples=length(150, 50), deadline=None)
@given(data=st.data())
def test_any_replaced_value_can_be_checked(data: st.DataObject):
    with tempfile.TemporaryDirectory() as directory:
        case = Case(Path(directory), data.draw(st.sampled_from(sorted(MODELS))))
        target: Any = data.draw(st.sampled_from([case.config, case.dataset]))
        while True:
            key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
            if not (isinstance(target[key], dict | list) and target[key] and data.draw(st.booleans())):
                break
            target = target[key]
        target[key] = data.draw(anything)
        assert_answers(case.trainer, case.request())


def test_very_deep_values_can_be_checked(tmp_path: Path):
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    case = Case(tmp_path)
    request = TrainingRequest(model_type="sdxl", config={**case.config, "deep": deep}, dataset=case.dataset)
    assert [mistake.pointer for mistake in case.trainer.check(request, case.output_dir).errors] == ["/config"]


def test_number_of_reported_mistakes_is_limited(tmp_path: Path):
    case = Case(tmp_path)
    case.dataset["directories"] = [{"path": f"/nowhere/{index}"} for index in range(900)]
    errors = case.check().errors
    assert len(errors) == 201
    assert errors[-1].message == "There are 700 more findings than these."
