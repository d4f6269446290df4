"""Runs of the sampling program with a fake sampler."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from api.files.thumbnail_files import ThumbnailStore
from api.jobs.kinds import REQUEST_FILE, SAMPLING_JOB
from api.jobs.sampling import program
from api.jobs.sampling.program import SamplingProgram
from api.jobs.sampling.request import (
    PICTURES,
    RESULTS,
    THUMBNAILS,
    LoraFile,
    Prompt,
    SampleRecord,
    SamplingRequest,
    read_records,
    read_request,
)
from api.jobs.sampling.sampler import FakeSampler, SamplerProblem, SamplerUnavailable, Shot


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "output"
    directory.mkdir()
    return directory


def request(tmp_path: Path, *checkpoints: str, prompts: int = 2, **changes: object) -> SamplingRequest:
    loras = []
    for checkpoint in checkpoints or ("epoch1",):
        path = tmp_path / f"{checkpoint}.safetensors"
        path.write_text(checkpoint)
        loras.append(LoraFile(checkpoint, str(path), keys=2))
    found = SamplingRequest(tuple(loras), tuple(Prompt(f"prompt {i}", i) for i in range(prompts)), "flux")
    return SamplingRequest.from_json({**found.as_json(), **changes})


def run(work: Path, wanted: SamplingRequest, *samplers: FakeSampler, name: str = "run_1") -> int:
    (work / REQUEST_FILE).write_text(json.dumps(wanted.as_json()))
    return SamplingProgram(work, name, samplers=samplers).run()


def records(work: Path) -> dict[tuple[str | None, int], SampleRecord]:
    return {(each.checkpoint, each.prompt): each for each in read_records(work)}


def test_every_prompt_of_every_checkpoint_and_of_the_base_model_is_rendered(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sampler = FakeSampler()
    assert run(work, request(tmp_path, "epoch1", "epoch2"), sampler) == 0
    found = records(work)
    assert found.keys() == {(each, index) for each in (None, "epoch1", "epoch2") for index in (0, 1)}
    assert all((work / PICTURES / str(each.file)).is_file() for each in found.values())
    assert len({each.pixels for each in found.values()}) == 6
    assert sampler.loras == {}
    assert capsys.readouterr().out.splitlines()[-1] == SAMPLING_JOB.completed_phrase


def test_rendered_samples_are_not_rendered_again(work: Path, tmp_path: Path):
    run(work, request(tmp_path), FakeSampler())
    again = FakeSampler()
    run(work, request(tmp_path, "epoch1", "epoch2"), again, name="run_2")
    assert [(shot.strength, shot.prompt) for shot in again.shots] == [(1.0, "prompt 0"), (1.0, "prompt 1")]


def test_base_model_is_not_rendered_again_after_an_earlier_task(work: Path, tmp_path: Path):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    run(earlier, request(tmp_path, prompts=1), FakeSampler())
    sampler = FakeSampler()
    # Another seed needs another picture, and a task that has rendered nothing changes nothing.
    run(work, request(tmp_path, "epoch2", prompts=2, earlier=[str(earlier), str(tmp_path / "none")]), sampler)
    assert [(shot.strength, shot.prompt) for shot in sampler.shots] == [
        (1.0, "prompt 0"), (0.0, "prompt 1"), (1.0, "prompt 1"),
    ]  # fmt: skip


def test_request_above_the_limit_of_bytes_is_rejected_by_name(work: Path):
    with (work / REQUEST_FILE).open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(ValueError, match=f"{REQUEST_FILE} has more than 16,777,216 bytes"):
        read_request(work)


def strengths(sampler: FakeSampler) -> list[float]:
    return [shot.strength for shot in sampler.shots]


def fail_from(count: int, sampler: FakeSampler) -> FakeSampler:
    """Let a sampler be unavailable after so many pictures."""

    def fail(shot: Shot) -> None:
        if len(sampler.shots) >= count:
            raise SamplerUnavailable("away")

    sampler.before = fail
    return sampler


def test_picture_is_judged_by_the_base_model_of_the_same_server(work: Path, tmp_path: Path):
    first, second = FakeSampler("1"), FakeSampler("2", keys_missing=2)
    # The first one is lost between the base model and the LoRA, which has no effect on the second.
    run(work, request(tmp_path, prompts=1), fail_from(1, first), second)
    assert (strengths(first), strengths(second)) == ([0.0], [0.0, 1.0])
    assert "None of its 2 keys had an effect" in str(records(work)["epoch1", 0].problem)


def test_servers_that_are_lost_in_turn_judge_by_their_own_base_model(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(program, "_RETRY_SECONDS", 0.0)
    first, second = FakeSampler("1"), FakeSampler("2")
    lost = iter("-1-2--")

    def lose(name: str) -> None:
        if next(lost, "-") == name:
            raise SamplerUnavailable("away")

    first.before, second.before = lambda shot: lose("1"), lambda shot: lose("2")
    run(work, request(tmp_path, prompts=1), first, second)
    bases = [each.server for each in read_records(work) if each.checkpoint is None]
    assert (bases, records(work)["epoch1", 0].server) == (["1", "2"], "1")


@pytest.mark.parametrize(("server", "expected"), [("1", [1.0]), ("2", [0.0, 1.0])], ids=["same", "other"])
def test_base_model_of_an_earlier_task_counts_on_the_same_server_only(
    work: Path, tmp_path: Path, server: str, expected: list[float]
):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    run(earlier, request(tmp_path, prompts=1), FakeSampler("1"))
    sampler = FakeSampler(server)
    run(work, request(tmp_path, "epoch2", prompts=1, earlier=[str(earlier)]), sampler)
    assert strengths(sampler) == expected


def test_base_model_that_fails_on_another_server_leaves_the_earlier_picture(work: Path, tmp_path: Path):
    run(work, request(tmp_path, prompts=1), FakeSampler("1"))
    shown = records(work)[None, 0]

    def refuse(shot: Shot) -> None:
        if shot.strength == 0:
            raise SamplerProblem("a model file is missing")

    other = FakeSampler("2")
    other.before = refuse
    run(work, request(tmp_path, "epoch1", "epoch2", prompts=1), other, name="run_2")
    assert records(work)[None, 0] == shown
    assert records(work)["epoch2", 0].problem is None


def test_known_sample_is_not_rendered_again_when_only_the_base_model_is_missing(work: Path, tmp_path: Path):
    run(work, request(tmp_path, prompts=1), FakeSampler("1"))
    lines = [each.line() for each in read_records(work) if each.checkpoint is not None]
    (work / RESULTS).write_text("".join(lines))
    sampler = FakeSampler("1")
    run(work, request(tmp_path, prompts=1), sampler, name="run_2")
    assert strengths(sampler) == [0.0]


def test_samples_of_an_earlier_version_of_the_service_are_no_control(work: Path, tmp_path: Path):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    run(earlier, request(tmp_path, prompts=1), FakeSampler())
    stored = [json.loads(line) for line in (earlier / RESULTS).read_text().splitlines()]
    lines = [{name: value for name, value in each.items() if name != "server"} for each in stored]
    (earlier / RESULTS).write_text("".join(json.dumps(each) + "\n" for each in lines))
    sampler = FakeSampler()
    wanted = request(tmp_path, "epoch2", prompts=1, earlier=[str(earlier)], base_pixels={"0": "known"})
    run(work, wanted, sampler)
    assert strengths(sampler) == [0.0, 1.0]


def test_server_that_continues_and_cannot_render_is_a_problem_of_the_sample(work: Path, tmp_path: Path):
    first, second = FakeSampler("1"), FakeSampler("2")

    def lack() -> None:
        raise SamplerProblem("It lacks a node.")

    second.prepare = lack  # type: ignore[method-assign]
    assert run(work, request(tmp_path, prompts=1), fail_from(1, first), second) == 0
    assert records(work)["epoch1", 0].problem == "It lacks a node."


def test_clip_of_the_base_model_is_rendered_once_although_it_cannot_be_compared(work: Path, tmp_path: Path):
    run(work, request(tmp_path, "epoch1", "epoch2", prompts=1), sampler := rendered_as(b"....ftypisom", ".mp4"))
    assert [shot.strength for shot in sampler.shots] == [0.0, 1.0, 1.0]


def test_lora_without_an_effect_is_a_problem_and_no_picture(work: Path, tmp_path: Path):
    run(work, request(tmp_path), FakeSampler(keys_missing=2))
    found = records(work)
    assert found["epoch1", 0].file is None
    assert "None of its 2 keys" in str(found["epoch1", 0].problem)
    assert str(found["epoch1", 0].problem).endswith("base model's. The LoRA does not fit the model of this workflow.")
    assert ("epoch1", 1) not in found


def test_lora_whose_weights_are_zero_is_no_lora_of_another_model(work: Path, tmp_path: Path):
    wanted = request(tmp_path)
    (tmp_path / "epoch1.safetensors").write_bytes(b"")
    run(work, wanted, FakeSampler())
    found = records(work)
    assert "Its weights are still zero" in str(found["epoch1", 0].problem)
    assert found["epoch1", 0].keys_missing == 0
    assert ("epoch1", 1) not in found


def test_partly_loaded_lora_is_rendered_with_a_warning(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    class Partly(FakeSampler):
        def render(self, shot):
            made = super().render(shot)
            return program.Rendered(made.content, made.ending, 1 if shot.strength else None)

    run(work, request(tmp_path), Partly())
    assert records(work)["epoch1", 0].file is not None
    assert "did not load 1 of 2 keys" in capsys.readouterr().out


def test_keys_that_are_logged_only_once_count_for_every_picture_of_the_lora(work: Path, tmp_path: Path):
    class Once(FakeSampler):
        def render(self, shot):
            made = super().render(shot)
            is_first = sum(each.strength > 0 for each in self.shots) == 1
            return program.Rendered(made.content, made.ending, int(is_first) if shot.strength else None)

    run(work, request(tmp_path, "epoch1"), Once())
    assert [each.keys_missing for each in records(work).values() if each.checkpoint] == [1, 1]


def test_one_failed_sample_does_not_end_the_others(work: Path, tmp_path: Path):
    def fail(shot: Shot) -> None:
        if shot.strength and shot.prompt == "prompt 0":
            raise SamplerProblem("No.")

    assert run(work, request(tmp_path), FakeSampler(before=fail)) == 0
    assert records(work)["epoch1", 0].problem == "No."
    assert records(work)["epoch1", 1].file is not None


def test_sampler_that_comes_back_is_waited_for(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(program, "_RETRY_SECONDS", 0.0)
    away = iter([True, True, False])

    def come_back(shot: Shot) -> None:
        if next(away, False):
            raise SamplerUnavailable("away")

    assert run(work, request(tmp_path), FakeSampler(before=come_back)) == 0
    assert all(each.problem is None for each in records(work).values())


def test_sampler_that_stays_away_fails_the_job_with_what_to_do(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(program, "_PATIENCE_SECONDS", -1.0)

    def stay_away(shot: Shot) -> None:
        raise SamplerUnavailable("ComfyUI does not answer: start it.")

    assert run(work, request(tmp_path), FakeSampler(before=stay_away)) == 1
    assert "start it" in capsys.readouterr().out.splitlines()[-1]


def test_garbage_instead_of_a_picture_is_a_problem(work: Path, tmp_path: Path):
    class Garbage(FakeSampler):
        def render(self, shot):
            return program.Rendered(b"<html>", ".png", None)

    assert run(work, request(tmp_path), Garbage()) == 0
    assert "no readable picture" in str(records(work)["epoch1", 0].problem)


def test_stop_file_ends_the_run_and_keeps_what_is_rendered(work: Path, tmp_path: Path):
    def stop(shot: Shot) -> None:
        (work / "run_1" / "stop").touch()

    sampler = FakeSampler(before=stop)
    assert run(work, request(tmp_path), sampler) == 0
    assert len(records(work)) == 1
    assert sampler.loras == {}


@pytest.mark.parametrize("kind", [SamplerProblem, SamplerUnavailable])
def test_lora_is_removed_when_its_placing_fails_or_is_stopped(work: Path, tmp_path: Path, kind: type[SamplerProblem]):
    class Failing(FakeSampler):
        def add_lora(self, path, name):
            super().add_lora(path, name)
            (work / "run_1" / "stop").touch()
            raise kind("No.")

    sampler = Failing()
    run(work, request(tmp_path), sampler)
    assert (sampler.loras, sampler.shots) == ({}, [])


def test_damaged_lines_of_results_are_left_out(work: Path, tmp_path: Path):
    run(work, request(tmp_path), FakeSampler())
    with (work / "samples.jsonl").open("a") as file:
        file.write('{"checkpoint": "epoch1"}\nno json\n{"half": ')
    assert len(list(read_records(work))) == 4


def rendered_as(content: bytes, ending: str) -> FakeSampler:
    class Hostile(FakeSampler):
        def render(self, shot):
            super().render(shot)
            return program.Rendered(content, ending, 0)

    return Hostile()


def gif(frames: int) -> bytes:
    content = io.BytesIO()
    pictures = [Image.new("L", (2, 2), n % 200) for n in range(frames)]
    pictures[0].save(content, "GIF", save_all=True, append_images=pictures[1:])
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "ending", "problem"),
    [
        (b"<html>", ".png", "no readable picture"),
        (b"<html>", ".mp4", "no .mp4 video"),
        (b"", ".webm", "no .webm video"),
        (gif(120), ".gif", "too large"),
    ],
)
def test_file_of_a_wrong_type_or_size_is_a_problem(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, ending: str, problem: str
):
    monkeypatch.setattr(program, "_MOST_PIXELS", 100 * program._FRAME_PIXELS)
    assert run(work, request(tmp_path, prompts=1), rendered_as(content, ending)) == 0
    assert [problem in str(each.problem) for each in records(work).values()] == [True, True]
    assert list((work / PICTURES).iterdir()) == []


def test_clip_is_stored_and_its_first_frame_is_the_small_picture(work: Path, tmp_path: Path):
    run(work, request(tmp_path, prompts=1), rendered_as(gif(20), ".gif"))
    base = records(work)[None, 0]
    assert (base.frames, base.width) == (20, 2)
    assert ThumbnailStore(work / THUMBNAILS).get(str(base.sha256), 256)
    run(work, request(tmp_path, "epoch2", prompts=2), rendered_as(b"\0\0\0\x18ftypmp42", ".mp4"), name="run_2")
    assert records(work)["epoch2", 1].file is not None


def test_files_of_a_job_are_limited_together(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(program, "_MOST_BYTES", 100)
    assert run(work, request(tmp_path, prompts=20), FakeSampler()) != 0
    assert len(list((work / PICTURES).iterdir())) < 20
    assert "render fewer" in capsys.readouterr().out
