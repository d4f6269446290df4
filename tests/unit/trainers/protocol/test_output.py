import json
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.tasks.progress import Point, Stage
from api.domain.tasks.training import ResumePoint, TrainingPlan
from api.trainers.protocol.output import LatestMedian, OutputReader
from api.trainers.protocol_trainer import RunProtocol
from api.util.files.foreign_files import MAX_BYTES

LEARNING_RATE_LINE = (
    "[2026-07-30 09:16:29,681] [INFO] [logging.py:123:log_dist] [Rank 0] step=17, skipped=0, lr=[1e-06], mom=[0.0]"
)


def plan(**changes) -> TrainingPlan:
    known = {"epochs": 3, "steps_per_epoch": 4, "total_steps": 12, "global_batch_size": 4}
    return TrainingPlan(trainer="diffusion_pipe", model_type="flux", gpu_count=1, **known | changes)


def create(**changes) -> OutputReader:
    return RunProtocol().create_reader(plan(**changes))


@pytest.fixture
def reader() -> OutputReader:
    return create()


def step_line(step: int, loss: str = "0.5", seconds: float = 1.0) -> str:
    return f"steps: {step} loss: {loss} iter time (s): {seconds:0.3f} samples/sec: {4 / seconds:0.3f}"


def feed(reader: OutputReader, *lines: str, start: float = 0.0) -> None:
    for count, line in enumerate(lines):
        reader.read(line, start + count)


def test_step_line_returns_a_point_and_updates_progress(reader: OutputReader):
    point = reader.read("steps: 17 loss: 0.5994 iter time (s): 3.162 samples/sec: 0.316", 5.0)
    assert point == Point("train/loss", 17, 0.5994, 5.0)
    progress = reader.progress
    assert (progress.step, progress.loss, progress.seconds_per_step, progress.samples_per_second) == (
        17,
        0.5994,
        3.162,
        0.316,
    )
    assert (progress.stage, progress.last_step_at, progress.first_step) == (Stage.TRAINING, 5.0, 17)


def test_time_of_each_stage_is_measured(reader: OutputReader):
    before = ("loading", "caching latents: (1.0, 64, 64, 1)", "[INFO] DeepSpeed info: ready")
    feed(reader, *before, step_line(1), step_line(2), "Saving model to directory epoch1")
    reader.read("[Rank 0] [Torch] Checkpoint global_step2 is about to be saved!", 7.0)
    reader.read("TRAINING COMPLETE!", 11.0)
    reader.read("the launcher ends", 40.0)
    assert reader.progress.stage_seconds == {"loading": 2.0, "caching": 1.0, "training": 2.0, "saving": 6.0}
    assert reader.step_seconds == (1.0, 1.0)


def test_first_items_of_a_caching_bar_do_not_count_as_its_pace(reader: OutputReader):
    reader.read("caching latents: (1.0, 64, 64, 1)", 0.0)
    for bar in ("0/6 [00:00<?, ?it/s]", "1/6 [00:04<00:20,  4.00s/it]", "6/6 [00:09<00:00,  1.50s/it]"):
        reader.read(f" 17%|#   | {bar}", 1.0)
    reader.read("100%|##| 2/2 [00:00<00:00,  4.00it/s]", 2.0)
    assert reader.progress.bar_seconds == pytest.approx(9.5)
    assert reader.progress.steady_bar_seconds == pytest.approx(6 * 1.0 + 0.5)


def test_nan_losses_are_counted(reader: OutputReader):
    feed(reader, step_line(1, "0.5"), step_line(2, "nan"), step_line(3, "nan"))
    assert math.isnan(reader.progress.loss)
    assert (reader.progress.nan_in_a_row, reader.progress.nan_steps, reader.progress.best_loss) == (2, 2, 0.5)
    reader.read(step_line(4, "0.7"), 4.0)
    assert (reader.progress.nan_in_a_row, reader.progress.nan_steps, reader.progress.loss) == (0, 2, 0.7)


def test_infinity_counts_as_nan(reader: OutputReader):
    assert math.isnan(reader.read(step_line(1, "inf"), 1.0).value)


@pytest.mark.parametrize("loss", ["1e400", "-1e999", "0.1.2", "zero"])
def test_step_with_an_invalid_loss_is_counted_without_it(reader: OutputReader, loss: str):
    assert reader.read(step_line(1, loss), 1.0) is None
    assert (reader.progress.step, reader.progress.loss) == (1, None)


@pytest.mark.parametrize("line", ["steps: -3 loss: 1", "steps: 0 loss: 1", "steps: " + "9" * 5000, "steps: x loss: y"])
def test_line_with_an_impossible_step_is_ignored(reader: OutputReader, line: str):
    assert reader.read(line, 1.0) is None
    assert reader.progress.step is None


def test_learning_rate_is_read(reader: OutputReader):
    reader.read(LEARNING_RATE_LINE, 1.0)
    assert reader.progress.learning_rate == 1e-06


def test_training_that_starts_at_step_1_is_in_epoch_1(reader: OutputReader):
    reader.read(step_line(1), 1.0)
    assert (reader.progress.epoch, reader.progress.epoch_progress) == (1, 25.0)


def test_new_epoch_shows_the_length_of_an_epoch(reader: OutputReader):
    feed(reader, *[step_line(step) for step in range(1, 6)], "Started new epoch: 2")
    progress = reader.progress
    assert (progress.epoch, progress.steps_per_epoch, progress.total_steps) == (2, 5, 15)
    reader.read(step_line(6), 9.0)
    assert progress.epoch_progress == 20.0


def test_length_of_an_epoch_is_observed_if_not_planned():
    reader = create(steps_per_epoch=None, total_steps=None)
    feed(reader, step_line(1), step_line(2), "Started new epoch: 2")
    assert (reader.progress.steps_per_epoch, reader.progress.total_steps) == (2, 6)


def test_max_steps_limits_the_total_after_an_observed_epoch():
    reader = create(total_steps=6)
    feed(reader, *[step_line(step) for step in range(1, 4)], "Started new epoch: 2")
    assert (reader.progress.steps_per_epoch, reader.progress.total_steps) == (3, 6)


def test_total_is_never_below_the_current_step(reader: OutputReader):
    feed(reader, step_line(40))
    assert (reader.progress.total_steps, reader.progress.overall_progress) == (40, 100.0)


def test_resume_continues_at_its_epoch_and_step(reader: OutputReader):
    reader.read("Resuming training from checkpoint. Resuming at epoch: 2, step: 6", 0.0)
    assert (reader.progress.epoch, reader.progress.step, reader.progress.first_step) == (2, 5, None)
    reader.read(step_line(6), 1.0)
    assert (reader.progress.first_step, reader.progress.epoch, reader.progress.epoch_progress) == (6, 2, 50.0)


def test_resume_observes_the_length_only_of_a_complete_epoch(reader: OutputReader):
    feed(reader, "Resuming training from checkpoint. Resuming at epoch: 2, step: 6", step_line(6), step_line(7))
    reader.read("Started new epoch: 3", 4.0)
    assert (reader.progress.steps_per_epoch, reader.progress.epoch_began_after) == (4, 7)
    feed(reader, step_line(8), step_line(9), step_line(10), "Started new epoch: 4")
    assert reader.progress.steps_per_epoch == 3


def test_gap_between_step_lines_leaves_the_length_of_an_epoch_unknown():
    reader = create(steps_per_epoch=None, total_steps=None)
    feed(reader, step_line(1), step_line(11), "Started new epoch: 2")
    assert reader.progress.steps_per_epoch is None


def test_stages_follow_the_lines(reader: OutputReader):
    stages = []
    for line in (
        "some model is being loaded",
        "caching latents: (0.794, 464, 576, 1)",
        "100%|##########| 4/4 [00:00<00:00, 110.20it/s]",
        "[CACHE] Initializing",
        "Global batch size = 4",
        "Running eval",
        step_line(1),
        "[2026-07-30 09:16:29,681] [INFO] [log.py:1:x] [Rank 0] [Torch] Checkpoint global_step1 is about to be saved!",
        step_line(2),
        "Saving model to directory epoch1",
        "Started new epoch: 2",
        step_line(3),
    ):
        reader.read(line, 1.0)
        stages.append(reader.progress.stage.value)
    assert stages == (
        ["loading"] + ["caching"] * 3 + ["loading", "evaluating", "training", "saving", "training"]
        + ["saving"] * 2 + ["training"]
    )  # fmt: skip


def test_stage_has_a_start_time(reader: OutputReader):
    feed(reader, "loading", "caching latents: x", "caching text embeddings: x", start=10.0)
    assert (reader.progress.stage_since, reader.progress.last_line_at) == (11.0, 12.0)


def test_phrase_printed_by_several_ranks_on_one_line_is_recognised(reader: OutputReader):
    feed(reader, "Manually quittingManually quitting", "", "TRAINING COMPLETE!")
    assert reader.progress.phrases == {"Manually quitting", "TRAINING COMPLETE!"}


@pytest.mark.parametrize(
    "line",
    [
        "Cound not find caption for /d/TRAINING COMPLETE!.png. Skipping image.",
        "a sign that says TRAINING COMPLETE!",
        "TRAINING COMPLETE! she wrote",
        "[rank1]: TRAINING COMPLETE!",
        "Manually quitting smoking",
    ],
)
def test_phrase_within_other_text_is_ignored(reader: OutputReader, line: str):
    reader.read(line, 1.0)
    assert reader.progress.phrases == set()


def test_phrase_before_another_step_is_discarded(reader: OutputReader):
    feed(reader, "TRAINING COMPLETE!", "steps: 5 loss: 0.5 iter time (s): 1.0 samples/sec: 1.0")
    assert reader.progress.phrases == set()


def test_warnings_are_stored_once_without_their_prefix(reader: OutputReader):
    warning = "size bucket (512, 512, 1) is being completely dropped because it doesn't have enough images"
    feed(reader, *[f"[2026-07-30 09:16:29,681] [WARNING] [dataset.py:396:post_init] {warning}"] * 2)
    assert list(reader.progress.warnings) == [warning]


def test_only_the_latest_warnings_are_stored(reader: OutputReader):
    feed(reader, *[f"Cound not find caption for {count}. Skipping image." for count in range(50)])
    assert len(reader.progress.warnings) == 20
    assert reader.progress.warnings[-1] == "Cound not find caption for 49. Skipping image."


def test_unplanned_batch_size_is_a_warning(reader: OutputReader):
    reader.read("Global batch size = 8", 1.0)
    assert list(reader.progress.warnings) == ["the trainer's global batch size is 8; 4 was planned"]


def test_seconds_per_step_are_the_median_of_the_latest_steps(reader: OutputReader):
    feed(reader, step_line(1, seconds=60.0), *[step_line(step, seconds=2.0) for step in range(2, 10)])
    assert (reader.progress.seconds_per_step, reader.progress.longest_step) == (2.0, 60.0)


def test_seconds_per_step_without_printed_times_come_from_line_times(reader: OutputReader):
    feed(reader, "steps: 1 loss: 0.5", "steps: 2 loss: 0.5", "steps: 3 loss: 0.5")
    assert (reader.progress.seconds_per_step, reader.progress.longest_step) == (1.0, 1.0)


def test_remaining_time_follows_from_seconds_per_step_and_total(reader: OutputReader):
    feed(reader, step_line(1, seconds=2.0), step_line(2, seconds=2.0))
    assert (reader.progress.eta_seconds, reader.progress.overall_progress) == (20.0, pytest.approx(100 / 6))


def test_remaining_time_is_unknown_before_the_first_step(reader: OutputReader):
    progress = reader.progress
    assert (progress.eta_seconds, progress.overall_progress, progress.epoch_progress, progress.epoch) == (None,) * 4


def test_loss_of_an_epoch_is_the_mean_of_its_steps(reader: OutputReader):
    feed(reader, step_line(1, "1.0"), step_line(2, "0.5"), "Started new epoch: 2")
    assert (reader.progress.epoch_loss, reader.progress.best_epoch) == (0.75, 1)


def test_last_epoch_ends_with_the_training(reader: OutputReader):
    feed(reader, step_line(1, "1.0"), step_line(2, "1.0"), "Started new epoch: 2")
    feed(reader, step_line(3, "0.5"), step_line(4, "0.5"), "TRAINING COMPLETE!")
    assert (reader.progress.epoch_loss, reader.progress.best_epoch) == (0.5, 2)


def test_late_point_of_an_older_epoch_does_not_replace_the_loss(reader: OutputReader):
    for epoch, loss in ((1, 0.4), (2, 0.6), (1, 0.41)):
        reader.take_point(Point("train/epoch_loss", epoch, loss, 1.0))
    assert (reader.progress.epoch_loss, reader.progress.best_epoch) == (0.6, 1)


def test_points_of_event_files_update_progress(reader: OutputReader):
    reader.take_point(Point("train/grad_norm", 3, 0.25, 1.0))
    reader.take_point(Point("train/automagic_avg_lr", 3, 1e-4, 1.0))
    reader.take_point(Point("train/grad_norm", 4, math.nan, 1.0))
    assert (reader.progress.grad_norm, reader.progress.learning_rate) == (0.25, 1e-4)


def test_reader_continues_from_a_saved_state(reader: OutputReader):
    lines = [
        "caching latents: x",
        step_line(1, "0.5", 2.0),
        step_line(2, "nan", 3.0),
        "Started new epoch: 2",
        "WARNING: something",
        LEARNING_RATE_LINE,
        step_line(3, "0.4", 1.0),
        "Started new epoch: 3",
        step_line(4, "0.3", 1.0),
        "TRAINING COMPLETE!",
    ]
    for cut in range(len(lines) + 1):
        first, second = create(), create()
        feed(first, *lines[:cut])
        second.restore(json.loads(json.dumps(first.save(), allow_nan=False)))
        feed(first, *lines[cut:], start=cut)
        feed(second, *lines[cut:], start=cut)
        assert second.save() == first.save()


LINES = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=200).map(lambda raw: raw.decode(errors="replace")),
    st.builds(
        lambda start, rest: start + rest,
        st.sampled_from(
            [
                "steps: ", "steps: 1 loss: ", "steps: 5 loss: 0.1 iter time (s): ", "[a] step=1, skipped=0, lr=[",
                "Resuming training from checkpoint. Resuming at epoch: ", "Started new epoch: ", "Global batch size = ",
                "[CACHE] ", "[WARNING]", "[x] [WARNING] ", "Saving model to directory ", "caching ", "Running eval",
            ]
        ),
        st.one_of(st.text(max_size=50), st.floats().map(str), st.integers().map(str)),
    ),
)  # fmt: skip


@given(st.lists(st.tuples(LINES, st.floats(allow_nan=False, allow_infinity=False)), max_size=30))
def test_any_line_can_be_read(lines):
    reader = create()
    for line, at in lines:
        reader.read(line, at)
    saved = reader.save()
    restored = create()
    restored.restore(json.loads(json.dumps(saved, allow_nan=False)))
    assert restored.save() == saved
    progress = reader.progress
    for share in (progress.overall_progress, progress.epoch_progress):
        assert share is None or 0 <= share <= 100


def test_only_the_start_of_a_very_long_line_is_read(reader: OutputReader):
    reader.read("steps: 3 loss: 0.5 " + "x" * 10_000_000, 1.0)
    assert reader.progress.step == 3


def test_median_covers_the_latest_fifty_values():
    chance, median = random.Random(1), LatestMedian()
    values = [chance.randrange(100) for _ in range(200)]
    for end, value in enumerate(values, start=1):
        assert median.add(value) == statistics.median(values[max(0, end - 50) : end])


def test_median_continues_from_given_values():
    assert LatestMedian([1, 2, 3]).add(9) == 2.5
    assert len(LatestMedian(range(1000)).latest) == LatestMedian.LIMIT


# -- what the real trainer prints ------------------------------------------------------------------------------------


def resumed_reader(point: ResumePoint | None, **changes) -> OutputReader:
    made = plan(epochs=30, steps_per_epoch=5, total_steps=150, global_batch_size=2, **changes)
    return RunProtocol().create_reader(made, point)


def test_resume_from_the_end_of_an_epoch_takes_one_more_step():
    reader = resumed_reader(ResumePoint(step=85, epoch=18, skipped=-1))
    assert reader.progress.total_steps == 151
    feed(reader, "Resuming training from checkpoint. Resuming at epoch: 18, step: 86")
    assert reader.progress.total_steps == 151
    feed(reader, *map(step_line, range(86, 92)), "Saving model to directory epoch18", "Started new epoch: 19")
    assert (reader.progress.total_steps, reader.progress.steps_per_epoch) == (151, 5)
    feed(reader, *map(step_line, range(92, 97)), "Started new epoch: 20")
    assert (reader.progress.total_steps, reader.progress.steps_per_epoch) == (151, 5)
    assert reader.progress.epoch_progress == 0


def test_resume_within_an_epoch_takes_the_planned_steps():
    reader = resumed_reader(ResumePoint(step=44, epoch=9, skipped=4))
    feed(reader, "Resuming training from checkpoint. Resuming at epoch: 9, step: 45", step_line(45))
    assert (reader.progress.total_steps, reader.progress.epoch_progress) == (150, 100)


def test_resume_of_a_resumed_training_counts_both_additional_steps():
    reader = resumed_reader(ResumePoint(step=96, epoch=20, skipped=-1))
    feed(reader, "Resuming training from checkpoint. Resuming at epoch: 20, step: 97")
    assert reader.progress.total_steps == 152


def test_completed_training_that_is_resumed_trains_one_more_epoch():
    reader = resumed_reader(ResumePoint(step=150, epoch=31, skipped=-1))
    assert reader.progress.total_steps == 156


def test_resume_with_fewer_steps_per_epoch_than_were_skipped_does_not_go_back():
    assert resumed_reader(ResumePoint(step=85, epoch=30, skipped=2**31)).progress.total_steps == 85


def test_resumed_training_ends_at_the_limit_of_steps_but_makes_one():
    assert resumed_reader(ResumePoint(85, 18, -1), max_steps=100).progress.total_steps == 100
    assert resumed_reader(ResumePoint(100, 21, -1), max_steps=100).progress.total_steps == 101


def test_messages_of_libraries_are_no_warnings(reader: OutputReader):
    feed(reader, "WARNING:root:torchaudio missing, ACE model will be broken", "WARNING: parameter x is not saved")
    assert list(reader.progress.warnings) == ["WARNING: parameter x is not saved"]


def lost(path: str, error: str = "[Errno 1094995529] Invalid data found") -> str:
    source = "[2026-11-29 02:31:35,814] [WARNING] [dataset.py:802:_metadata_map_fn]"
    return f"{source} Media file {path} could not be opened. Skipping. The exception was: {error}"


def test_files_that_the_trainer_leaves_out_are_one_warning(reader: OutputReader):
    feed(reader, lost("/data/a b/one.mp4"), lost("/data/two.mp4", "another"), lost("/data/two.mp4", "another"))
    expected = (
        "2 files were left out because the trainer could not open them: one.mp4, two.mp4. The first error: [Errno "
        "1094995529] Invalid data found"
    )
    assert list(reader.progress.warnings) == [expected]
    restored = create()
    restored.restore(json.loads(json.dumps(reader.save())))
    feed(restored, *[lost(f"/data/{number}.mp4") for number in range(20)])
    [warning] = restored.progress.warnings
    assert warning.startswith("22 files were left out")
    assert "7.mp4 and 12 more. The first" in warning


def test_note_about_many_files_with_long_paths_stays_within_its_limit(reader: OutputReader):
    feed(reader, *[lost(f"/{'é' * 900}/{number}.mp4") for number in range(1100)])
    assert reader.progress.warnings[0].startswith("at least 1000 files")
    assert len(json.dumps(reader.save(), ensure_ascii=False).encode()) < MAX_BYTES / 2


def test_files_lost_to_an_old_comfyui_name_the_command_that_helps(reader: OutputReader):
    feed(reader, lost("/data/one.mp4", "'VideoFromFile' object has no attribute 'get_frame_count'"))
    assert "git submodule update" in reader.progress.warnings[0]


def test_warning_behind_a_progress_bar_is_read(reader: OutputReader):
    feed(reader, f"Map (num_proc=2):   0%|          | 0/7 [00:00<?, ? examples/s]{lost('/data/one.mp4')}")
    assert reader.progress.warnings[0].startswith("1 file was left out because the trainer could not open it: one.mp4")
