import os
import time
from pathlib import Path
from typing import Any

import pytest

from api.domain.machines.installation import InstallationProblem, ProblemSeverity
from api.trainers.diffusion_pipe.installation.check import AGAIN_SECONDS, InstallationCheck, TrainerLocation
from api.trainers.diffusion_pipe.installation.problems import GPUNeeds, supports
from tests.unit.trainers.diffusion_pipe.builders import Case
from tests.unit.trainers.diffusion_pipe.installation.sample_installation import OTHER, SampleInstallation


@pytest.fixture
def installation(tmp_path: Path) -> SampleInstallation:
    return SampleInstallation(tmp_path)


def problems_of(installation: SampleInstallation) -> list[InstallationProblem]:
    return list(installation.create_check().check().problems)


def the_problem(installation: SampleInstallation) -> InstallationProblem:
    (found,) = problems_of(installation)
    return found


def test_complete_installation_has_no_problem(installation: SampleInstallation):
    found = installation.create_check().check()
    assert (found.problems, found.ready, found.is_checking) == ((), True, False)
    assert (found.python, found.torch, found.cuda, found.deepspeed) == ("3.12.4", "2.9.0+cu128", "12.8", "0.18.4")
    assert (found.flash_attention, found.nccl) == ("2.8.3", True)
    assert found.gpu_architectures == ("sm_80", "sm_86", "sm_90", "sm_120")
    assert found.nvcc == str(installation.python.parent / "nvcc")
    assert [submodule.state for submodule in found.submodules] == ["pinned", "pinned"]
    assert found.checked_at == installation.clock.now()


def test_missing_deepspeed_is_named_with_its_pinned_version(installation: SampleInstallation):
    installation.remove("deepspeed")
    found = the_problem(installation)
    assert (found.code, found.severity) == ("deepspeed_missing", "error")
    assert found.command == f"{installation.python} -m pip install deepspeed==0.18.4"


def test_torch_without_cuda_is_named(installation: SampleInstallation):
    cpu = "__version__ = '2.9.0+cpu'\nclass version:\n    cuda = hip = None\n"
    installation.add("torch", "2.9.0", cpu)
    found = the_problem(installation)
    assert (found.code, found.severity) == ("torch_without_cuda", "error")
    assert found.command == f"{installation.python} -m pip install --force-reinstall torch torchvision torchaudio"


def test_torch_without_cuda_does_not_prevent_trainings_on_simulated_gpus(installation: SampleInstallation):
    installation.add("torch", "2.9.0", "__version__ = '2.9.0+cpu'\nclass version:\n    cuda = hip = None\n")
    installation.gpus = GPUNeeds(are_simulated=True)
    check = installation.create_check()
    found = check.check()
    assert ([each.severity for each in found.problems], found.ready) == (["warning"], True)
    errors, warnings = check.findings_for("flux")
    assert (errors, [each.code for each in warnings]) == ((), ["torch_without_cuda"])


def test_python_older_than_312_is_named(installation: SampleInstallation):
    installation.set_version("3, 11, 9")
    found = the_problem(installation)
    assert (found.code, found.severity) == ("python_too_old", "error")
    assert "3.11.9" in found.message
    assert found.command is not None
    assert found.command.startswith(f"python3.12 -m venv {installation.python.parent.parent}-3.12 && ")


def test_missing_submodule_is_named(installation: SampleInstallation):
    for path in sorted((installation.root / "submodules" / "flow" / ".git").iterdir()):
        path.unlink()
    (installation.root / "submodules" / "flow" / ".git").rmdir()
    found = the_problem(installation)
    assert (found.code, found.severity, found.model_types) == ("submodule_missing", "error", ("chroma",))
    assert found.command == f"git -C {installation.root} submodule update --init --recursive submodules/flow"


def test_old_comfyui_is_named(installation: SampleInstallation):
    installation.make_comfyui(counts_frames=False)
    found = the_problem(installation)
    assert (found.code, found.severity) == ("comfyui_too_old", "warning")
    assert found.command == f"git -C {installation.root} submodule update --init --recursive submodules/ComfyUI"
    assert found.concerns("wan")
    assert not found.concerns("sdxl")


def test_missing_flash_attention_is_named_for_the_types_that_need_it(installation: SampleInstallation):
    installation.remove("flash_attn")
    found = the_problem(installation)
    assert (found.code, found.severity) == ("flash_attention_missing", "error")
    assert found.command == f"{installation.python} -m pip install --no-build-isolation flash-attn"
    assert found.concerns("wan")
    assert not found.concerns("flux")


def test_flash_attention_built_for_another_torch_is_named(installation: SampleInstallation):
    installation.add("flash_attn", "2.8.3", "raise ImportError('undefined symbol: _ZN3c10')")
    found = the_problem(installation)
    assert found.code == "flash_attention_broken"
    assert "undefined symbol" in found.message


def test_torch_that_cannot_be_imported_is_named(installation: SampleInstallation):
    installation.add("torch", "2.9.0", "raise OSError('libcudart.so.12: cannot open shared object file')")
    found = the_problem(installation)
    assert found.code == "torch_broken"
    assert "libcudart.so.12" in found.message


def test_submodule_at_another_commit_is_a_warning(installation: SampleInstallation):
    installation.check_out("submodules/ComfyUI", OTHER)
    found = the_problem(installation)
    assert (found.code, found.severity) == ("submodule_other_commit", "warning")


@pytest.mark.parametrize("version", ["2", "4"])
def test_pinned_commits_are_read_from_each_format_of_the_index(installation: SampleInstallation, version: str):
    installation.git("update-index", "--index-version", version)
    assert [each.state for each in installation.create_check().check().submodules] == ["pinned", "pinned"]


def test_submodules_of_an_exported_tree_are_unknown_instead_of_wrong(installation: SampleInstallation):
    (installation.root / ".git").rename(installation.root / "git")
    found = installation.create_check().check()
    assert [submodule.state for submodule in found.submodules] == ["unknown", "unknown"]
    assert (found.commit, found.problems) == (None, ())


def test_missing_package_of_the_requirements_is_named(installation: SampleInstallation):
    installation.remove("diffusers")
    found = the_problem(installation)
    assert found.code == "package_missing"
    assert "diffusers" in found.message
    assert str(installation.root / "requirements.txt") in str(found.command)


def test_gpus_that_torch_does_not_support_are_named(installation: SampleInstallation):
    installation.gpus = GPUNeeds(("6.1",), "13.0")
    assert (the_problem(installation).code, the_problem(installation).severity) == ("gpu_not_supported", "error")
    installation.gpus = GPUNeeds(("6.1", "8.9"), "13.0")
    assert the_problem(installation).severity is ProblemSeverity.WARNING


def test_driver_older_than_the_cuda_of_torch_is_named(installation: SampleInstallation):
    installation.gpus = GPUNeeds(("8.9",), "11.8")
    assert the_problem(installation).code == "driver_too_old"


@pytest.mark.parametrize(
    ("architectures", "capability", "expected"),
    [
        (["sm_80", "sm_90"], "8.9", True),
        (["sm_80", "sm_90"], "12.0", False),
        (["sm_80", "compute_90"], "12.0", True),
        (["sm_90a"], "9.0", True),
        (["sm_120a"], "12.1", False),
        (["sm_90"], "8.9", False),
        (["sm_100"], "10.3", True),
        (["gfx90a"], "8.9", False),
    ],
)
def test_machine_code_runs_on_later_gpus_of_the_same_major_version(
    architectures: list[str], capability: str, expected: bool
):
    assert supports(architectures, capability) is expected


def test_hanging_interpreter_is_killed_with_its_children_and_refuses_nothing(installation: SampleInstallation):
    pid_file = installation.root / "pid"
    installation.run_as_python(f"sleep 600 & echo $! > {pid_file}; wait")
    check = installation.create_check(seconds=1.0)
    found = check.check()
    assert [(one.code, one.severity) for one in found.problems] == [("check_failed", "warning")]
    assert "did not end within 1 s" in found.problems[0].message
    assert (found.ready, check.findings(), check.findings_for("flux")) == (None, (), ((), ()))
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid_file.read_text().strip()}/cmdline") and time.monotonic() < end:
        if not Path(f"/proc/{pid_file.read_text().strip()}/cmdline").read_bytes():
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_child_that_holds_the_output_open_does_not_delay_the_check(installation: SampleInstallation):
    script = installation.python.read_text()
    installation.run_as_python("sleep 600 &\n" + script.removeprefix("#!/bin/sh\n"))
    assert installation.create_check(seconds=30.0).check().ready is True


def test_garbage_around_the_result_is_ignored(installation: SampleInstallation):
    script = installation.python.read_text()
    installation.run_as_python("printf '\\377\\000 noise {\"python\": 3}\\n'\n" + script.removeprefix("#!/bin/sh\n"))
    assert problems_of(installation) == []


@pytest.mark.parametrize("script", ["echo hello", 'echo "diffusion-pipe-installation: [1"', "exit 3", "kill -SEGV $$"])
def test_interpreter_without_a_result_is_broken(installation: SampleInstallation, script: str):
    installation.run_as_python(script)
    found = installation.create_check().check()
    assert ([one.code for one in found.problems], found.ready) == (["python_broken"], False)


def test_huge_output_is_cut_and_refuses_nothing(installation: SampleInstallation):
    installation.run_as_python("exec cat /dev/zero")
    found = installation.create_check().check()
    assert ([one.code for one in found.problems], found.ready) == (["check_failed"], None)
    assert len(found.problems[0].message) < 400


def test_result_of_wrong_types_is_unknown(installation: SampleInstallation):
    installation.run_as_python(
        'echo \'diffusion-pipe-installation: {"python": 3, "versions": [], "modules": [], "architectures": 5, '
        '"flash_attention": "x", "torch": "2", "cuda": "12"}\''
    )
    found = installation.create_check().check()
    assert (found.python, found.deepspeed, found.gpu_architectures) == (None, None, None)


def test_secrets_in_the_last_line_are_masked(installation: SampleInstallation):
    installation.run_as_python("echo https://me:hidden@example.org HF_TOKEN=hidden; exit 3")
    assert "hidden" not in the_problem(installation).message


def test_facts_that_are_no_versions_are_shown_without_control_characters(installation: SampleInstallation):
    installation.run_as_python(
        'echo \'diffusion-pipe-installation: {"python": "3.\\u00b2", "torch": "2", "cuda": "\\u00b2.1", '
        '"architectures": [{"a": 1}, "sm_90\\u001b"]}\''
    )
    found = installation.create_check().check()
    assert (found.python, found.gpu_architectures) == ("3.\u00b2", ("sm_90?",))


@pytest.mark.parametrize("path", ["--upload-pack=x", "../x", "/x", "a\x1b", "a\0"])
def test_path_of_a_submodule_that_would_harm_a_command_is_ignored(installation: SampleInstallation, path: str):
    with (installation.root / ".gitmodules").open("a") as file:
        file.write(f'[submodule "x"]\n\tpath = {path}\n')
    assert len(installation.create_check().check().submodules) == 2


def test_nothing_is_known_and_refused_before_the_first_check(installation: SampleInstallation):
    installation.remove("deepspeed")
    check = installation.create_check()
    assert (check.last.ready, check.last.checked_at, check.findings(), check.last.problems) == (None, None, (), ())


def test_installed_package_is_noticed(installation: SampleInstallation):
    installation.remove("deepspeed")
    check = installation.create_check()
    check.check_if_due()
    assert [problem.code for problem in check.problems()] == ["deepspeed_missing"]
    installation.add("deepspeed", "0.18.4")
    check.check_if_due()
    assert check.problems() == ()


def test_unchanged_installation_is_checked_again_only_on_request(installation: SampleInstallation):
    check = installation.create_check()
    check.check_if_due()
    first = check.last.checked_at
    installation.clock.advance(2 * AGAIN_SECONDS)
    check.check_if_due()
    assert check.last.checked_at == first
    assert check.request().is_checking
    check.check_if_due()
    assert (check.last.checked_at, check.last.is_checking) == (installation.clock.now(), False)


def test_errors_are_checked_again_after_a_while(installation: SampleInstallation):
    installation.add("torch", "2.9.0", "raise MemoryError")
    check = installation.create_check()
    check.check_if_due()
    first = check.last.checked_at
    installation.clock.advance(AGAIN_SECONDS + 1)
    check.check_if_due()
    assert check.last.checked_at != first


def test_missing_settings_are_problems_with_commands(tmp_path: Path, installation: SampleInstallation):
    check = InstallationCheck(TrainerLocation(), installation.clock, {})
    check.check_if_due()
    assert check.last.ready is False
    assert [problem.code for problem in check.last.problems] == ["trainer_not_found", "interpreter_not_found"]
    assert all(problem.command for problem in check.last.problems)


def test_result_for_a_former_location_is_discarded(installation: SampleInstallation, monkeypatch: pytest.MonkeyPatch):
    check = installation.create_check()
    find = check._find

    def find_and_move(*given: Any) -> Any:
        found = find(*given)
        check.locate(TrainerLocation())
        return found

    monkeypatch.setattr(check, "_find", find_and_move)
    check.check()
    assert (check.last.root, check.last.torch, check.last.is_checking) == (None, None, True)


def test_requests_are_refused_for_what_concerns_their_type(tmp_path: Path, installation: SampleInstallation):
    case = Case(tmp_path)
    installation.remove("flash_attn")
    installation.make_comfyui(counts_frames=False)
    case.trainer.installation = check = installation.create_check()
    assert not case.check().errors
    check.check()
    assert not case.check().errors
    assert check.findings() == ()
    errors, warnings = check.findings_for("wan")
    assert [one.code for one in errors] == ["flash_attention_missing"]
    assert [one.code for one in warnings] == ["comfyui_too_old"]
    installation.remove("deepspeed")
    check.check()
    (error,) = case.check().errors
    assert "pip install deepspeed" in str(error.remedy)
    assert [problem.code for problem in case.trainer.problems()] == ["deepspeed_missing"]


def test_service_without_a_trainer_starts_with_one_line_that_is_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    check = InstallationCheck(TrainerLocation(), SampleInstallation(tmp_path).clock, {})
    with caplog.at_level("INFO"):
        check.check_if_due()
        check.request()
        check.check_if_due()
    assert [(record.levelname, "Setup" in record.message) for record in caplog.records] == [("INFO", True)]
