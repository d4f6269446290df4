"""The tensors of a file that `torch.save` wrote, read without torch and without executing anything in it.

The file is a ZIP archive: a pickle that names the tensors, and an uncompressed member with the bytes of each storage.
A pickle can call any function that it names. This reader knows three names, none of which does anything.
"""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import IO, Any

#: Largest pickle in bytes that is read; a layer of the largest models has 10 kB.
MOST_PICKLE_BYTES = 2**24

#: Maximum number of dimensions, as in torch. The product of many sizes takes hours.
_MOST_DIMENSIONS = 64

_PIECE = 2**20

#: The type of an element in safetensors files, and its bytes, by the name of torch's storage.
_STORAGES = {
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2),
    "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1),
}


class UnreadableArchive(Exception):
    """The file is not a complete archive of tensors; the text is the end of a sentence."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A contiguous tensor, and its bytes in the archive."""

    member: str
    offset: int  #: of its first byte in the member
    dtype: str  #: as in safetensors files
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Storage:
    """What the pickle says about a storage: any values. It can change them until it ends; then they are checked."""

    name: Any
    key: Any


@dataclass(frozen=True, slots=True)
class _View:
    """What the pickle says about a tensor: any values."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class _Reader(pickle.Unpickler):
    """Knows dictionaries, and the names of tensors and of their storages."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute for a class or function. Raise UnpicklingError for all but three names."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _STORAGES:
            return name
        raise pickle.UnpicklingError(f"it names {module[:40]}.{name[:40]}")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage with this identity."""
        kind, name, key, _, _ = pid
        if kind != "storage":
            raise pickle.UnpicklingError("it names an object that is no storage")
        return _Storage(name, key)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
    return _View(storage, offset, shape, strides)


def _require_contiguous(view: _View) -> None:
    """Raise UnreadableArchive for impossible numbers, and for a tensor with gaps or another order of elements."""
    shape, strides = view.shape, view.strides
    if type(shape) is not tuple or type(strides) is not tuple or not len(shape) == len(strides) <= _MOST_DIMENSIONS:
        raise UnreadableArchive("a tensor has an impossible shape")
    if not all(type(each) is int and 0 <= each < 2**40 for each in (view.offset, *shape, *strides)):
        raise UnreadableArchive("a tensor has an impossible shape")
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            raise UnreadableArchive("a tensor is not contiguous")
        expected *= size


class TorchArchive:
    """An open archive. Raises UnreadableArchive."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            self._members = {each.filename: each for each in self._zip.infolist()}
            self.size = os.fstat(file.fileno()).st_size
            self._root, content = self._read_pickle()
            found = _Reader(content).load()
            if not isinstance(found, dict):
                raise UnreadableArchive("it does not contain a dictionary")
            # The pickle may have set an attribute `items`.
            self.tensors = {
                name: self._locate(each)
                for name, each in dict.items(found)
                if isinstance(name, str) and isinstance(each, _View)
            }
        except UnreadableArchive:
            raise
        except Exception as error:  # a damaged archive or pickle raises nearly anything
            raise UnreadableArchive(f"it is not a complete file of torch: {str(error)[:200]}") from None

    def _read_pickle(self) -> tuple[str, IO[bytes]]:
        names = [name for name in self._members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(names) != 1:
            raise UnreadableArchive("it is not a file of torch")
        member = self._members[names[0]]
        if member.file_size > MOST_PICKLE_BYTES:
            raise UnreadableArchive("its list of tensors is too large")
        root = names[0].removesuffix("data.pkl")
        order = self._members.get(f"{root}byteorder")
        if order is not None and self._zip.open(order).read(8) != b"little":
            raise UnreadableArchive("its bytes are in an unknown order")
        return root, self._zip.open(member)

    def _locate(self, view: _View) -> StoredTensor:
        storage = view.storage
        if not isinstance(storage, _Storage) or type(storage.name) is not str or storage.name not in _STORAGES:
            raise UnreadableArchive("a tensor is in a storage of an unknown kind")
        _require_contiguous(view)
        dtype, item_bytes = _STORAGES[storage.name]
        key = storage.key if type(storage.key) is str else ""
        name, size, offset = f"{self._root}data/{key}", prod(view.shape) * item_bytes, view.offset * item_bytes
        member = self._members.get(name)
        if member is None or member.compress_type != zipfile.ZIP_STORED or member.file_size < offset + size:
            raise UnreadableArchive("the bytes of a tensor are missing")
        return StoredTensor(name, offset, dtype, view.shape, size)

    def read(self, tensor: StoredTensor) -> Iterator[bytes]:
        """Return the bytes of a tensor in pieces, whose sizes are multiples of every element's."""
        left = tensor.size_bytes
        try:
            with self._zip.open(tensor.member) as member:
                member.seek(tensor.offset)
                while left:
                    piece = member.read(min(left, _PIECE))
                    if not piece:
                        raise UnreadableArchive("the bytes of a tensor are missing")
                    yield piece
                    left -= len(piece)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise UnreadableArchive(f"the bytes of a tensor are damaged: {str(error)[:200]}") from None
