"""Records of TensorBoard event files: their framing, and the parts of the messages that scalars need.

Field names and numbers are those of TensorBoard's event.proto and summary.proto. The decoder skips other
content, such as histograms and pictures. The toy trainer loads this module by its path, so it must not
import anything of the service.
"""

import struct
from typing import Any

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

#: A record is preceded by its length and the checksum of the length, and followed by the checksum of its bytes.
HEADER = struct.Struct("<QI")
CHECKSUM = struct.Struct("<I")

_PACKAGE = "diffusion_pipe"
_Field = descriptor_pb2.FieldDescriptorProto


def masked_crc32c(data: bytes) -> int:
    """Return the checksum of TensorFlow's record files: CRC-32C, rotated by 15 bits, plus a constant."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """Return a record in the framing of event files."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, CHECKSUM.pack(masked_crc32c(length)), record, CHECKSUM.pack(masked_crc32c(record))))


def _build_messages() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}/event.proto", package=_PACKAGE, syntax="proto3")
    summary = file.message_type.add(name="Summary")
    value = summary.nested_type.add(name="Value")
    value.oneof_decl.add(name="value")
    _add(value, "tag", 1, _Field.TYPE_STRING)
    _add(value, "simple_value", 2, _Field.TYPE_FLOAT, oneof_index=0)
    _add(summary, "value", 1, _Field.TYPE_MESSAGE, label=_Field.LABEL_REPEATED, type_name=f".{_PACKAGE}.Summary.Value")
    event = file.message_type.add(name="Event")
    event.oneof_decl.add(name="what")
    _add(event, "wall_time", 1, _Field.TYPE_DOUBLE)
    _add(event, "step", 2, _Field.TYPE_INT64)
    _add(event, "file_version", 3, _Field.TYPE_STRING, oneof_index=0)
    _add(event, "summary", 5, _Field.TYPE_MESSAGE, oneof_index=0, type_name=f".{_PACKAGE}.Summary")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    made = [message_factory.GetMessageClass(find(f"{_PACKAGE}.{name}")) for name in ("Event", "Summary")]
    return made[0], made[1]


def _add(message: Any, name: str, number: int, kind: int, **more: Any) -> None:
    message.field.add(name=name, number=number, type=kind, **{"label": _Field.LABEL_OPTIONAL, **more})


Event, Summary = _build_messages()
