import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import toml

from api.models.training import GPURequest, ResumeOptions
from api.trainers.diffusion_pipe import toml_files
from api.trainers.trainer import Command, Launch, Trainer
from tests.unit.trainers.diffusion_pipe.builders import PYTHON, Case, TextCase

KEY = "0123456789abcdef0123456789abcdef01234567"


def launch(case: Case | TextCase, **others) -> Launch:
    return Launch(
        directory=case.output_dir.parent / "attempts" / "2",
        output_dir=case.output_dir,
        gpu_indices=(2, 3),
        master_port=29671,
        **others,
    )


def prepare(case: Case | TextCase, request=None, **others) -> Command:
    request = request or case.request()
    plan = case.trainer.check(request, case.output_dir).plan
    assert plan is not None
    return case.trainer.prepare(request, plan, launch(case, **others))


def test_command_is_the_launcher_started_directly(tmp_path: Path):
    case = TextCase(tmp_path)
    command = prepare(case)
    assert command.cwd == tmp_path / "trainer"
    assert command.argv == (
        PYTHON,
        "-u",
        "-m",
        "deepspeed.launcher.launch",
        "--world_info=" + base64.urlsafe_b64encode(b'{"localhost": [2, 3]}').decode(),
        "--master_addr=127.0.0.1",
        "--master_port=29671",
        "train.py",
        "--deepspeed",
        "--config",
        str(tmp_path / "task" / "attempts" / "2" / "config.toml"),
        "--master_port",
        "29671",
    )


def test_world_info_can_be_read_back(tmp_path: Path):
    (argument,) = [part for part in prepare(TextCase(tmp_path)).argv if part.startswith("--world_info=")]
    assert json.loads(base64.urlsafe_b64decode(argument.partition("=")[2])) == {"localhost": [2, 3]}


def test_resume_names_the_run_directory_and_what_is_reset(tmp_path: Path):
    run_dir = tmp_path / "task" / "output" / "20260101_00-00-00"
    resume = ResumeOptions(reset_dataloader=True, reset_optimizer=True)
    argv = prepare(TextCase(tmp_path), run_dir=run_dir, resume=resume).argv
    assert argv[-4:] == ("--resume_from_checkpoint", str(run_dir), "--reset_dataloader", "--reset_optimizer")


def test_nothing_is_reset_without_a_run_directory(tmp_path: Path):
    assert "--reset_optimizer" not in prepare(TextCase(tmp_path), resume=ResumeOptions(reset_optimizer=True)).argv


def test_cache_flags_are_those_of_the_request(tmp_path: Path):
    case = TextCase(tmp_path)
    argv = prepare(case, case.request(regenerate_cache=True, trust_cache=True)).argv
    assert argv[-2:] == ("--regenerate_cache", "--trust_cache")


def test_environment_can_be_overridden_but_not_the_order_of_gpus(tmp_path: Path):
    case = TextCase(tmp_path)
    assert dict(prepare(case).env) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "PYTHONUNBUFFERED": "1"}
    request = case.request(env={"NCCL_P2P_DISABLE": "0", "HF_HOME": "/hf"})
    env = prepare(case, request, gpu_names=("NVIDIA GeForce RTX 4090",)).env
    assert (env["NCCL_P2P_DISABLE"], env["NCCL_IB_DISABLE"], env["HF_HOME"]) == ("0", "1", "/hf")


@pytest.mark.parametrize(
    ("names", "disabled"),
    [
        (("NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090"), True),
        (("NVIDIA GeForce RTX 4070 Ti SUPER",), True),
        (("NVIDIA GeForce RTX 4080 Laptop GPU",), True),
        (("NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 4060"), True),
        (("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"), False),
        (("NVIDIA A100-SXM4-40GB",), False),
        (("NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 5090"), False),
        (("NVIDIA RTX 4000 Ada Generation", "Quadro RTX 4000"), False),
        ((None,), False),
        ((), False),
    ],
)
def test_direct_way_between_gpus_is_closed_only_on_boards_that_have_none(tmp_path: Path, names, disabled: bool):
    env = prepare(TextCase(tmp_path), gpu_names=names).env
    assert ("NCCL_P2P_DISABLE" in env, "NCCL_IB_DISABLE" in env) == (disabled, disabled)


def test_secret_variables_are_kept_apart(tmp_path: Path):
    case = TextCase(tmp_path)
    request = case.request(env={"HF_TOKEN": "hf_secret", "HF_HOME": "/hf"})
    found = case.trainer.check(request, case.output_dir)
    assert found.secrets == {"HF_TOKEN": "hf_secret"}
    assert "hf_secret" not in repr(found)
    assert "HF_TOKEN" not in prepare(case, request).env


def test_text_is_kept_byte_for_byte_except_for_the_keys_of_the_service(tmp_path: Path):
    case = TextCase(tmp_path)
    files = prepare(case).files
    expected = case.config.replace("'/elsewhere'", f'"{case.output_dir}"', 1)
    dataset = tmp_path / "task" / "attempts" / "2" / "dataset.toml"
    assert files["config.toml"] == expected.replace("'/elsewhere/dataset.toml'", f'"{dataset}"')
    assert files["dataset.toml"] == case.dataset


def test_text_without_the_keys_of_the_service_gets_them(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = "\n".join(line for line in case.config.splitlines() if "elsewhere" not in line) + "\n"
    read = toml.loads(prepare(case).files["config.toml"])
    assert read["output_dir"] == str(case.output_dir)
    assert read["dataset"].endswith("/attempts/2/dataset.toml")
    assert read["optimizer"] == {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99]}


def test_resume_in_the_text_is_taken_out_with_a_warning(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = "resume_from_checkpoint = true\n" + case.config
    found = case.check()
    assert [mistake.pointer for mistake in found.warnings] == ["/config_toml/resume_from_checkpoint"]
    assert found.plan is not None
    assert "resume_from_checkpoint" not in found.plan.files["config.toml"]


def test_structured_form_is_written_as_the_trainer_reads_it(tmp_path: Path):
    case = Case(tmp_path)
    case.config["eval"] = {"before_first_step": False}
    case.config["optimizer"]["betas"] = [0, 0.99]
    files = prepare(case).files
    read = toml.loads(files["config.toml"])
    assert read["output_dir"] == str(case.output_dir)
    assert read["save_every_n_epochs"] == 1
    assert read["checkpoint_every_n_minutes"] == 60
    assert read["eval_before_first_step"] is False
    assert read["optimizer"]["betas"] == [0.0, 0.99]
    assert not {"save", "eval", "optimization"} & read.keys()
    assert toml.loads(files["dataset.toml"]) == {
        "resolutions": [512],
        "directory": [{"path": str(case.images), "num_repeats": 1}],
    }


def test_plan_shows_the_files_and_the_command_as_they_would_be(tmp_path: Path):
    case = Case(tmp_path)
    plan = case.check().plan
    assert plan is not None
    assert set(plan.files) == {"config.toml", "dataset.toml"}
    assert str(tmp_path / "task" / "attempts" / "1" / "dataset.toml") in plan.files["config.toml"]
    assert plan.command[1:4] == ("-u", "-m", "deepspeed.launcher.launch")


def wandb(case: Case) -> None:
    case.config["monitoring"] = {
        "enable_wandb": True,
        "wandb_api_key": KEY,
        "wandb_tracker_name": "t",
        "wandb_run_name": "r",
    }


def test_key_of_wandb_leaves_the_structured_form(tmp_path: Path):
    case = Case(tmp_path)
    wandb(case)
    found = case.check()
    assert found.errors == found.warnings == ()
    assert found.secrets == {"WANDB_API_KEY": KEY}
    assert found.plan is not None
    assert KEY not in repr(found)
    assert KEY not in repr(prepare(case))
    assert toml.loads(found.plan.files["config.toml"])["monitoring"]["wandb_api_key"] == ""


def test_key_of_wandb_leaves_the_text_and_its_comments(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config += f"# mine is {KEY}\n[monitoring]\nenable_wandb = true\nwandb_api_key = '{KEY}' # secret\n"
    case.config += "wandb_tracker_name = 't'\nwandb_run_name = 'r'\n"
    found = case.check()
    assert found.errors == found.warnings == ()
    assert found.secrets == {"WANDB_API_KEY": KEY}
    assert found.plan is not None
    assert KEY not in repr(found)
    assert "# secret" in found.plan.files["config.toml"]


def test_request_can_be_kept_without_its_secrets_and_still_be_prepared(tmp_path: Path):
    case = Case(tmp_path)
    wandb(case)
    request = case.request(env={"HF_TOKEN": "hf_secret", "HF_HOME": "/hf"})
    kept = case.trainer.without_secrets(request)
    assert KEY not in repr(kept)
    assert kept.env == {"HF_TOKEN": "***", "HF_HOME": "/hf"}
    found = case.trainer.check(kept, case.output_dir)
    assert (found.errors, found.secrets) == ((), {})
    assert prepare(case, kept) == prepare(case, request)
    assert case.trainer.without_secrets(kept) == kept


def test_request_in_text_can_be_kept_without_its_secrets(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config += f"[monitoring]\nwandb_api_key = '{KEY}' # {KEY}\n"
    kept = case.trainer.without_secrets(case.request())
    assert KEY not in repr(kept)
    assert 'wandb_api_key = "***"' in str(kept.config_toml)
    assert prepare(case, kept).files["dataset.toml"] == case.dataset


def test_request_without_secrets_is_kept_as_it_is(tmp_path: Path):
    case = TextCase(tmp_path)
    assert case.trainer.without_secrets(case.request()) == case.request()


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ("epochs = ", "/config_toml"),
        ("epochs = 1\nepochs = 2", "/config_toml"),
        ("a = [1, 2.5]", "/config_toml/a"),
        ("a = ['x', 1]", "/config_toml/a"),
        ("a = " + "[" * 30 + "]" * 30, "/config_toml"),
        ("a = " + "[" * 5000 + "]" * 5000, "/config_toml"),
        ("a = " + "9" * 5000, "/config_toml"),
        ("started = 2026-01-01T00:00:00Z", "/config_toml/started"),
        ("x = '" + "y" * 200_000 + "'", "/config_toml"),
    ],
)
def test_text_that_the_trainer_would_choke_on_is_an_error_at_its_place(tmp_path: Path, config: str, pointer: str):
    case = TextCase(tmp_path)
    case.config = config + "\n" + case.config
    assert pointer in case.errors()


def test_syntax_error_names_line_and_column(tmp_path: Path):
    case = TextCase(tmp_path)
    case.dataset = "resolutions = [512]\n[[directory]\n"
    (mistake,) = case.check().errors
    assert mistake.pointer == "/dataset_toml"
    assert "line 2" in mistake.message
    assert "column" in mistake.message


def test_mistakes_in_the_text_have_their_place_in_it(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("'bfloat16'", "'bf16'")
    case.dataset = case.dataset.replace(str(case.images), "/nowhere")
    assert case.errors() == ["/config_toml/model/dtype", "/dataset_toml/directory/0/path"]


def test_half_of_the_text_is_an_error(tmp_path: Path):
    case = TextCase(tmp_path)
    case.dataset = None  # type: ignore[assignment]
    assert case.errors() == ["/dataset_toml"]


def test_text_with_inline_tables_can_be_edited(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("\n[adapter]\ntype = 'lora'\nrank = 16\n", "")
    case.config = "adapter = {type = 'lora', rank = 16}\n" + case.config
    assert case.errors() == []


def test_windows_line_ends_are_kept(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("\n", "\r\n")
    written = prepare(case).files["config.toml"]
    assert written.count("\r\n") == case.config.count("\r\n")


def test_odd_names_survive_the_writing(tmp_path: Path):
    odd = {"path": "/a\\b\"c'd\n\té\u2028 #[]=", "a.b": 1, "": 2, "é": [True], "t": [{"x": 1}, {"x": 2}], "n": {}}
    text = toml_files.write({"directory": [odd], "resolutions": [512]})
    assert text is None or toml.loads(text) == {"directory": [odd], "resolutions": [512]}


def test_prepare_refuses_what_was_never_checked(tmp_path: Path):
    case = Case(tmp_path)
    plan = case.check().plan
    assert plan is not None
    case.config = {}
    with pytest.raises(ValueError, match="check"):
        case.trainer.prepare(case.request(), plan, launch(case))


def test_directories_within_braces_are_warned_of(tmp_path: Path):
    case = TextCase(tmp_path)
    case.dataset = f"resolutions = [512]\ndirectory = [{{path = '{case.images}'}}]\n"
    found = case.check()
    assert found.errors == ()
    assert [mistake.pointer for mistake in found.warnings] == ["/dataset_toml/directory/0"]


def test_it_is_a_trainer(tmp_path: Path):
    trainer: Trainer = TextCase(tmp_path).trainer
    assert trainer.name == "diffusion_pipe"
    assert trainer.find_run_dir(tmp_path) is None


def test_directory_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    case = TextCase(tmp_path)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and allowed(path, mode))
    (mistake,) = case.check().errors
    assert mistake.pointer == "/dataset_toml/directory/0/path"
    assert "cache" in mistake.message


@pytest.mark.parametrize(("stages", "expected"), [(1, 9_200), (2, 6_600), (4, 5_300)])
def test_memory_is_shared_by_the_stages_of_a_pipeline(tmp_path: Path, stages: int, expected: int):
    case = Case(tmp_path)
    case.gpus = stages
    case.config["pipeline_stages"] = stages
    plan = case.check().plan
    assert plan is not None
    assert plan.estimated_memory_mb == expected
    assert "9,200 MB" in str(plan.memory_basis)


def test_memory_of_full_fine_tuning_is_not_known(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["adapter"]
    plan = case.check().plan
    assert plan is not None
    assert plan.estimated_memory_mb is None
    assert plan.memory_basis


def test_plan_names_indices_that_were_asked_for(tmp_path: Path):
    case = Case(tmp_path)
    request = replace(case.request(), gpus=GPURequest(references=(5,)))
    plan = case.trainer.check(request, case.output_dir).plan
    assert plan is not None
    assert base64.urlsafe_b64decode(plan.command[4].partition("=")[2]) == b'{"localhost": [5]}'
