import tomllib
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from api.domain.tasks.training import GPURequest, ResumeOptions, TrainingRequest
from api.trainers.toy.settings import TABLES, TOP
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Check, Launch, Trainer
from tests.unit.trainers.diffusion_pipe.builders import write_image

TOY: Trainer = Toy("python")
OUTPUT = Path("/data/task/output")


def check(config: dict | None = None, gpus: int = 1, **changes) -> Check:
    request = TrainingRequest(model_type="toy", gpus=GPURequest(count=gpus), config=config or {}, **changes)
    return TOY.check(request, OUTPUT)


def pointers(checked: Check) -> list[str]:
    return [mistake.pointer for mistake in checked.errors]


def test_epochs_alone_are_a_complete_request():
    checked = check({"epochs": 3})
    assert (checked.errors, checked.warnings) == ((), ())
    plan = checked.plan
    assert (plan.epochs, plan.steps_per_epoch, plan.total_steps, plan.global_batch_size) == (3, 40, 120, 64)
    assert (plan.estimated_memory_mb, plan.memory_basis, plan.caches) == (None, None, ())


def test_plan_contains_the_toys_configuration():
    plan = check({"epochs": 2, "save": {"every_n_epochs": 2}, "toy": {"steps_per_epoch": 7, "seed": 1}}).plan
    assert tomllib.loads(plan.files["config.toml"]) == {
        "output_dir": str(OUTPUT),
        "epochs": 2,
        "save_every_n_epochs": 2,
        "checkpoint_every_n_epochs": 1,
        "toy": {"steps_per_epoch": 7, "seed": 1},
    }


def test_text_form_is_accepted():
    plan = check(config_toml='epochs = 2\noutput_dir = "/x"\n[toy]\nsteps_per_epoch = 7\n').plan
    assert plan.total_steps == 14
    assert tomllib.loads(plan.files["config.toml"])["output_dir"] == str(OUTPUT)


def test_value_that_the_service_sets_is_a_warning():
    assert [mistake.pointer for mistake in check(config_toml='epochs = 2\noutput_dir = "/x"').warnings] == [
        "/config_toml/output_dir"
    ]


def test_max_steps_limits_the_total():
    assert check({"epochs": 3, "max_steps": 50}).plan.total_steps == 50


def test_each_gpu_adds_to_the_batch():
    assert check({"epochs": 1}, gpus=4).plan.global_batch_size == 256


def test_command_contains_the_paths_of_the_attempt(tmp_path: Path):
    request = TrainingRequest(model_type="toy", config={"epochs": 1})
    plan = TOY.check(request, OUTPUT).plan
    command = TOY.prepare(request, plan, Launch(tmp_path, tmp_path / "out", (2, 3), 29511))
    assert command.argv[:2] == ("python", "-u")
    assert Path(command.argv[2]).is_file()
    assert command.argv[3:] == ("--config", str(tmp_path / "config.toml"), "--master_port", "29511", "--ranks", "2")
    assert (command.env["CUDA_VISIBLE_DEVICES"], command.env["CUDA_DEVICE_ORDER"]) == ("2,3", "PCI_BUS_ID")
    assert tomllib.loads(command.files["config.toml"])["output_dir"] == str(tmp_path / "out")


def test_dataset_file_uses_the_directory_of_the_attempt(tmp_path: Path):
    planned, laid = tmp_path / "planned", tmp_path / "laid"
    for directory in (planned, laid):
        directory.mkdir()
        write_image(directory / "a.png")
    request = TrainingRequest(model_type="toy", config={"epochs": 1}, dataset={"directories": [{"path": str(planned)}]})
    plan = TOY.check(request, OUTPUT).plan
    for moved in (
        replace(request, dataset={"directories": [{"path": str(laid)}]}),
        replace(request, dataset={}, dataset_toml=f'[[directory]]\npath = "{laid}"\n'),
    ):
        files = TOY.prepare(moved, plan, Launch(tmp_path, OUTPUT, (0,), 1)).files
        assert tomllib.loads(files["dataset.toml"]) == {"directory": [{"path": str(laid)}]}


def test_resume_names_the_run_directory(tmp_path: Path):
    request = TrainingRequest(model_type="toy", config={"epochs": 1})
    plan = TOY.check(request, OUTPUT).plan
    options = ResumeOptions(reset_dataloader=True, reset_optimizer=True)
    command = TOY.prepare(request, plan, Launch(tmp_path, OUTPUT, (0,), 1, OUTPUT / "run", options))
    assert command.argv[-4:] == (
        "--resume_from_checkpoint",
        str(OUTPUT / "run"),
        "--reset_dataloader",
        "--reset_optimizer",
    )


def test_toy_has_no_secrets():
    request = TrainingRequest(model_type="toy", config={"epochs": 1})
    assert TOY.without_secrets(request) == request
    assert check({"epochs": 1}).secrets == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*TOP, *TABLES, "save", "eval", "optimization", "output_dir"]) | st.text(max_size=10)


@given(
    config=st.dictionaries(NAMES, JSON | st.dictionaries(st.sampled_from(list(TABLES["toy"])), JSON)),
    dataset=st.dictionaries(st.just("directories") | st.text(max_size=5), JSON, max_size=2),
)
def test_any_request_can_be_checked_and_accepted_ones_read_back(config: dict, dataset: dict):
    checked = check(config, dataset=dataset)
    assert (checked.plan is None) == bool(checked.errors)
    if checked.plan is not None:
        assert tomllib.loads(checked.plan.files["config.toml"])["epochs"] == config["epochs"]
