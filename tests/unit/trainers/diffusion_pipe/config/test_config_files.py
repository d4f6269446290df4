from pathlib import Path

import toml

from tests.unit.trainers.diffusion_pipe.builders import Case, TextCase, prepare

KEY = "0123456789abcdef0123456789abcdef01234567"


def test_secret_variables_are_separated(tmp_path: Path):
    case = TextCase(tmp_path)
    request = case.request(env={"HF_TOKEN": "hf_secret", "HF_HOME": "/hf"})
    found = case.trainer.check(request, case.output_dir)
    assert found.secrets == {"HF_TOKEN": "hf_secret"}
    assert "hf_secret" not in repr(found)
    assert "HF_TOKEN" not in prepare(case, request).env


def test_text_is_unchanged_except_for_the_keys_of_the_service(tmp_path: Path):
    case = TextCase(tmp_path)
    files = prepare(case).files
    expected = case.config.replace("'/elsewhere'", f'"{case.output_dir}"', 1)
    dataset = tmp_path / "task" / "attempts" / "2" / "dataset.toml"
    assert files["config.toml"] == expected.replace("'/elsewhere/dataset.toml'", f'"{dataset}"')
    assert files["dataset.toml"] == case.dataset


def test_keys_of_the_service_are_added_to_the_text(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = "\n".join(line for line in case.config.splitlines() if "elsewhere" not in line) + "\n"
    read = toml.loads(prepare(case).files["config.toml"])
    assert read["output_dir"] == str(case.output_dir)
    assert read["dataset"].endswith("/attempts/2/dataset.toml")
    assert read["optimizer"] == {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99]}


def test_structured_form_is_written_for_the_trainer(tmp_path: Path):
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


def wandb(case: Case) -> None:
    case.config["monitoring"] = {
        "enable_wandb": True,
        "wandb_api_key": KEY,
        "wandb_tracker_name": "t",
        "wandb_run_name": "r",
    }


def test_wandb_key_is_removed_from_the_structured_form(tmp_path: Path):
    case = Case(tmp_path)
    wandb(case)
    found = case.check()
    assert found.errors == found.warnings == ()
    assert found.secrets == {"WANDB_API_KEY": KEY}
    assert found.plan is not None
    assert KEY not in repr(found)
    assert KEY not in repr(prepare(case))
    assert toml.loads(found.plan.files["config.toml"])["monitoring"]["wandb_api_key"] == ""


def test_wandb_key_is_removed_from_the_text_and_its_comments(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config += f"# mine is {KEY}\n[monitoring]\nenable_wandb = true\nwandb_api_key = '{KEY}' # secret\n"
    case.config += "wandb_tracker_name = 't'\nwandb_run_name = 'r'\n"
    found = case.check()
    assert found.errors == found.warnings == ()
    assert found.secrets == {"WANDB_API_KEY": KEY}
    assert found.plan is not None
    assert KEY not in repr(found)
    assert "# secret" in found.plan.files["config.toml"]


def test_request_without_secrets_can_still_be_prepared(tmp_path: Path):
    case = Case(tmp_path)
    wandb(case)
    request = case.request(env={"HF_TOKEN": "hf_secret", "HF_HOME": "/hf"})
    stored = case.trainer.without_secrets(request)
    assert KEY not in repr(stored)
    assert stored.env == {"HF_TOKEN": "***", "HF_HOME": "/hf"}
    found = case.trainer.check(stored, case.output_dir)
    assert (found.errors, found.secrets) == ((), {})
    assert prepare(case, stored) == prepare(case, request)
    assert case.trainer.without_secrets(stored) == stored


def test_text_request_can_be_stored_without_its_secrets(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config += f"[monitoring]\nwandb_api_key = '{KEY}' # {KEY}\n"
    stored = case.trainer.without_secrets(case.request())
    assert KEY not in repr(stored)
    assert 'wandb_api_key = "***"' in str(stored.config_toml)
    assert prepare(case, stored).files["dataset.toml"] == case.dataset


def test_request_that_has_no_secrets_is_unchanged(tmp_path: Path):
    case = TextCase(tmp_path)
    assert case.trainer.without_secrets(case.request()) == case.request()


def test_text_with_inline_tables_can_be_edited(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("\n[adapter]\ntype = 'lora'\nrank = 16\n", "")
    case.config = "adapter = {type = 'lora', rank = 16}\n" + case.config
    assert case.errors() == []


def test_windows_line_ends_are_preserved(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("\n", "\r\n")
    written = prepare(case).files["config.toml"]
    assert written.count("\r\n") == case.config.count("\r\n")
