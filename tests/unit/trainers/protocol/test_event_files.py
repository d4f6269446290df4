import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from api.domain.tasks.progress import Point
from api.trainers.protocol.event_files import LONGEST_READ, MAX_TAGS, EventFileTail
from tests.faults import Faults


def scalar(step: int, value: float, tag: str = "train/loss") -> Event:
    return Event(
        wall_time=1000.0 + step, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    )


@pytest.fixture
def writer(tmp_path: Path):
    made = EventFileWriter(str(tmp_path))
    yield made
    made.close()


def write(writer: EventFileWriter, *events: Event) -> None:
    for event in events:
        writer.add_event(event)
    writer.flush()


def only_file(directory: Path) -> Path:
    (path,) = directory.glob("events.out.tfevents.*")
    return path


def test_scalars_are_read_once(writer: EventFileWriter, tmp_path: Path):
    tail = EventFileTail(tmp_path)
    write(writer, scalar(1, 0.5), scalar(2, 0.25))
    assert tail.read() == [Point("train/loss", 1, 0.5, 1001.0), Point("train/loss", 2, 0.25, 1002.0)]
    assert tail.read() == []
    write(writer, scalar(3, 0.125))
    assert [point.step for point in tail.read()] == [3]


def test_nan_is_read_and_histograms_are_skipped(writer: EventFileWriter, tmp_path: Path):
    histogram = Event(step=1, summary=Summary(value=[Summary.Value(tag="train/automagic_lrs", histo=HistogramProto())]))
    write(writer, histogram, scalar(1, math.nan))
    (point,) = EventFileTail(tmp_path).read()
    assert (point.tag, math.isnan(point.value)) == ("train/loss", True)


def test_another_tail_continues_from_the_positions(writer: EventFileWriter, tmp_path: Path):
    first = EventFileTail(tmp_path)
    write(writer, scalar(1, 0.5))
    first.read()
    write(writer, scalar(2, 0.25))
    assert [point.step for point in EventFileTail(tmp_path, dict(first.positions)).read()] == [2]


def test_files_are_read_in_order_of_creation(tmp_path: Path):
    for number in (2, 1):
        made = EventFileWriter(str(tmp_path / "new"))
        write(made, scalar(number, 0.5))
        made.close()
        only_file(tmp_path / "new").rename(tmp_path / f"events.out.tfevents.100{number}.host")
    assert [point.step for point in EventFileTail(tmp_path).read()] == [1, 2]


def test_budget_leaves_the_rest_for_later(writer: EventFileWriter, tmp_path: Path):
    write(writer, *[scalar(step, 0.5) for step in range(1, 101)])
    tail, steps, calls = EventFileTail(tmp_path), [], 0
    while not tail.is_caught_up:
        steps += [point.step for point in tail.read(budget=500)]
        calls += 1
    assert steps == list(range(1, 101))
    assert calls > 5


def test_examples_are_converted_to_steps_but_not_epochs(writer: EventFileWriter, tmp_path: Path):
    write(writer, scalar(40, 0.5), scalar(2, 0.4, "train/epoch_loss"))
    assert [point.step for point in EventFileTail(tmp_path, examples_per_step=4).read()] == [10, 2]


def test_partially_written_record_is_read_when_complete(writer: EventFileWriter, tmp_path: Path):
    write(writer, scalar(1, 0.5), scalar(2, 0.25))
    whole = only_file(tmp_path).read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    file, tail, steps = copy / "events.out.tfevents.1.host", EventFileTail(copy), []
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        steps += [point.step for point in tail.read()]
    assert steps == [1, 2]
    assert tail.notes == []


def test_damaged_record_is_ignored(writer: EventFileWriter, tmp_path: Path):
    write(writer, scalar(1, 0.5), scalar(2, 0.25), scalar(3, 0.125))
    file = only_file(tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(b"train/loss", content.index(b"train/loss") + 1)] ^= 0xFF
    file.write_bytes(content)
    tail = EventFileTail(tmp_path)
    assert [point.step for point in tail.read()] == [1, 3]
    assert tail.notes == [f"{file.name} has a damaged record, which is ignored"]


def test_damaged_length_ends_its_file_but_not_the_others(tmp_path: Path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"\xff" * 100)
    made = EventFileWriter(str(tmp_path))
    write(made, scalar(1, 0.5))
    made.close()
    tail = EventFileTail(tmp_path)
    assert [point.step for point in tail.read()] == [1]
    assert tail.positions["events.out.tfevents.1.host"] == -1
    assert len(tail.notes) == 1
    assert tail.read() == []


def test_links_are_not_followed(tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"\xff" * 100)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1.host").symlink_to(tmp_path / "secret")
    tail = EventFileTail(tmp_path / "run")
    assert (tail.read(), tail.notes, tail.positions) == ([], [], {})


def test_missing_directory_has_no_points(tmp_path: Path):
    assert EventFileTail(tmp_path / "nowhere").read() == []


@settings(max_examples=50)
@given(content=st.binary(max_size=200))
def test_any_file_content_can_be_read(content: bytes, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    (directory / "events.out.tfevents.1.host").write_bytes(content)
    EventFileTail(directory).read()


@pytest.mark.parametrize("wall_time", [math.nan, math.inf, -math.inf, 1e300, -1.0])
def test_record_with_an_impossible_time_is_ignored(writer: EventFileWriter, tmp_path: Path, wall_time: float):
    odd = scalar(1, 0.5)
    odd.wall_time = wall_time
    write(writer, odd, scalar(2, 0.25))
    tail = EventFileTail(tmp_path)
    assert [point.step for point in tail.read()] == [2]
    assert len(tail.notes) == 1


@pytest.mark.parametrize("step", [-1, -(2**63), 2**63 - 1])
def test_record_with_an_impossible_step_is_ignored(writer: EventFileWriter, tmp_path: Path, step: int):
    odd = scalar(1, 0.5)
    odd.step = step
    write(writer, odd, scalar(2, 0.25))
    assert [point.step for point in EventFileTail(tmp_path).read()] == [2]


@pytest.mark.parametrize("tag", ["", "a\nb", "\x1b[2J", "x" * 201])
def test_value_with_an_invalid_tag_is_ignored(writer: EventFileWriter, tmp_path: Path, tag: str):
    write(writer, scalar(1, 0.5, tag), scalar(2, 0.25))
    assert [point.step for point in EventFileTail(tmp_path).read()] == [2]


def test_tags_and_values_of_a_record_are_limited(writer: EventFileWriter, tmp_path: Path):
    values = [Summary.Value(tag=f"t{index}", simple_value=1.0) for index in range(3 * MAX_TAGS)]
    write(writer, Event(wall_time=1.0, step=1, summary=Summary(value=values)))
    tail = EventFileTail(tmp_path)
    points = tail.read()
    while not tail.is_caught_up:
        points += tail.read()
    assert len(points) == MAX_TAGS


def test_record_with_pictures_is_skipped(writer: EventFileWriter, tmp_path: Path):
    picture = Summary.Value(tag="p", image=Summary.Image(encoded_image_string=b"x" * 2 * LONGEST_READ))
    write(writer, Event(wall_time=1.0, step=1, summary=Summary(value=[picture])), scalar(2, 0.25))
    tail = EventFileTail(tmp_path)
    points = tail.read()
    while not tail.is_caught_up:
        points += tail.read()
    assert [point.step for point in points] == [2]


@pytest.mark.parametrize("call", ["scandir", "open"])
def test_temporarily_unreadable_file_is_read_later(writer: EventFileWriter, tmp_path: Path, faults: Faults, call: str):
    write(writer, scalar(1, 0.5))
    tail = EventFileTail(tmp_path)
    hidden = faults.strike(call, str(tmp_path))
    assert tail.read() == []
    assert (tail.is_caught_up, tail.trouble is not None) == (False, True)
    hidden.end()
    assert [point.step for point in tail.read()] == [1]
    assert (tail.is_caught_up, tail.trouble) == (True, None)
