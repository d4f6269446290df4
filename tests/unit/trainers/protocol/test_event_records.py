"""The records equal those of TensorBoard: its own code reads and writes the same bytes."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event as TheirEvent
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as their_checksum

from api.trainers.protocol.event_records import Event, Summary, frame, masked_crc32c


@given(st.binary(max_size=200))
def test_checksum_equals_tensorboards(data: bytes):
    assert masked_crc32c(data) == their_checksum(data)


def test_tensorboard_reads_written_records(tmp_path: Path):
    summary = Summary(value=[Summary.Value(tag="train/loss", simple_value=0.5)])
    event = Event(wall_time=12.5, step=7, summary=summary)
    (tmp_path / "events").write_bytes(frame(event.SerializeToString()))
    (record,) = RawEventFileLoader(str(tmp_path / "events")).Load()
    foreign = TheirEvent.FromString(record)
    assert (foreign.wall_time, foreign.step, foreign.summary.value[0].tag) == (12.5, 7, "train/loss")
    assert foreign.summary.value[0].simple_value == 0.5
