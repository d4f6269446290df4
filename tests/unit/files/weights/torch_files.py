"""Writes files in the form of `torch.save`, without torch."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

_ITEM_BYTES = {"BFloat16Storage": 2, "HalfStorage": 2, "FloatStorage": 4}

#: A tensor: the name of its storage, its shape and its bytes.
Tensor = tuple[str, tuple[int, ...], bytes]


class _Named:
    """Stands for a function or class of torch in a pickle."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Called:
    """A call of such a function, as the pickle describes it."""

    def __init__(self, function: _Named, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments


class _Changed:
    """An object and the state that the pickle then gives it."""

    def __init__(self, changed: Any, state: Any) -> None:
        self.changed, self.state = changed, state


class _Storage:
    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count


class _Writer(pickle._Pickler):
    """The Python implementation, whose `save` can be extended for names that cannot be imported here."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:
        if isinstance(obj, _Named):
            module, _, name = obj.name.rpartition(".")
            return self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        if isinstance(obj, _Called):
            self.save(obj.function)
            self.save(obj.arguments)
            return self.write(pickle.REDUCE)
        if isinstance(obj, _Changed):
            self.save(obj.changed)
            self.save(obj.state)
            return self.write(pickle.BUILD)
        if isinstance(obj, _Storage):
            self.save(("storage", _Named(f"torch.{obj.kind}"), obj.key, "cpu", obj.count))
            return self.write(pickle.BINPERSID)
        return super().save(obj, save_persistent_id)


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    return tuple(prod(shape[at + 1 :]) for at in range(len(shape)))


def call(name: str, *arguments: Any) -> Any:
    """Return an object that is the call of a function when it is written."""
    return _Called(_Named(name), arguments)


def changed(found: Any, state: Any) -> Any:
    """Return an object whose state is replaced when it is read."""
    return _Changed(found, state)


def storage(kind: Any, key: Any) -> Any:
    """Return the storage with this key."""
    return _Storage(kind, key, 1)


def tensor(kind: str, key: str, shape: tuple[int, ...], offset: int = 0, steps: tuple[int, ...] | None = None) -> Any:
    """Return a tensor whose bytes are the member `key`."""
    stored = _Storage(kind, key, prod(shape))
    return call("torch._utils._rebuild_tensor_v2", stored, offset, shape, steps or strides(shape), False, {})


def write_archive(
    path: Path, content: Any, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> None:
    """Write a pickle of `content`, and the bytes of storages by their keys."""
    pickled = io.BytesIO()
    _Writer(pickled, 2).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{path.stem}/data.pkl", pickled.getvalue())
        archive.writestr(f"{path.stem}/byteorder", b"little")
        for key, stored in members.items():
            archive.writestr(f"{path.stem}/data/{key}", stored)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors by name, as a layer of a checkpoint has them."""
    found = {name: tensor(kind, str(at), shape) for at, (name, (kind, shape, _)) in enumerate(tensors.items())}
    write_archive(path, found, {str(at): stored for at, (_, _, stored) in enumerate(tensors.values())})
