"""The GPUs that suit one request during a pass over the queue, free or held, by node.

A task's GPUs are always on one node. Totals are updated with each assigned GPU, so that a pass over many tasks examines
no GPU twice.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from api.domain.machines.gpu import GPUOffer

_Kind = tuple[int, str]  # memory in MB, and name
_Nodes = dict[str, None]  # an ordered set


@dataclass(slots=True)
class _Node:
    free: dict[str, GPUOffer] = field(default_factory=dict)  #: by UUID
    coming: dict[str, GPUOffer] = field(default_factory=dict)
    alike: dict[_Kind, int] = field(default_factory=dict)  #: number of free GPUs of each kind

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.free), len(self.coming)


class Supply:
    """GPUs that suit a request, without those that may never become available."""

    def __init__(
        self,
        suitable: Iterable[GPUOffer],
        is_open: Collection[str],
        reserved: Collection[str],
        removed: Sequence[GPUOffer] = (),
    ) -> None:
        """Create the supply.

        `is_open` has the UUIDs of GPUs that are neither taken nor reserved, `reserved` those of reserved ones. GPUs
        that are assigned or reserved later are appended to `removed`, which is read at the next call.
        """
        self._removed, self._seen = removed, len(removed)
        self.suitable = tuple(suitable)
        self._nodes: dict[str, _Node] = {}
        self.most = self._sort(is_open, reserved)  #: maximum on one node, now or once they are free
        self._by_shape: dict[tuple[int, int], _Nodes] = {}
        self._by_kind: dict[_Kind, dict[int, _Nodes]] = {}
        for name, node in self._nodes.items():
            self._by_shape.setdefault(node.shape, {})[name] = None
            for kind, count in node.alike.items():
                self._by_kind.setdefault(kind, {}).setdefault(count, {})[name] = None
        self._kinds = sorted(self._by_kind)
        self._free = sum(len(node.free) for node in self._nodes.values())
        #: Number of GPUs that are free or will be, on all nodes, as of the last call.
        self.left = self._free + sum(len(node.coming) for node in self._nodes.values())

    def _sort(self, is_open: Collection[str], reserved: Collection[str]) -> int:
        """Assign each GPU to its node. Return the largest number on one node, now or once they are free."""
        usable: dict[str, int] = {}
        for gpu in self.suitable:
            if not gpu.is_available and gpu.held_by is None:
                # A foreign process may never end, so no task waits for it.
                continue
            name = gpu.node
            usable[name] = usable.get(name, 0) + 1
            is_free = gpu.uuid in is_open
            if not is_free and (gpu.held_by is None or gpu.uuid in reserved):
                continue
            node = self._nodes.get(name)
            if node is None:
                node = self._nodes[name] = _Node()
            if is_free:
                node.free[gpu.uuid] = gpu
                kind = _kind(gpu)
                node.alike[kind] = node.alike.get(kind, 0) + 1
            else:
                node.coming[gpu.uuid] = gpu
        return max(usable.values(), default=0)

    def choose(self, count: int) -> list[GPUOffer] | None:
        """Return the smallest sufficient GPUs, preferably of one kind, on the node with the fewest left.

        Return None if no node has enough. Larger GPUs stay free for tasks that need them.
        """
        self._catch_up()
        if self._free < count:
            return None
        for kind in self._kinds:
            nodes_by_count = self._by_kind[kind]
            left = min((number for number, nodes in nodes_by_count.items() if number >= count and nodes), default=None)
            if left is not None:
                node = self._nodes[next(iter(nodes_by_count[left]))]
                return _smallest(node.free.values(), kind)[:count]
        shape = min((each for each, nodes in self._by_shape.items() if each[0] >= count and nodes), default=None)
        return (
            None if shape is None else _smallest(self._nodes[next(iter(self._by_shape[shape]))].free.values())[:count]
        )

    def reserve(self, count: int) -> list[GPUOffer] | None:
        """Return the GPUs to reserve for a waiting task, on the node with most of them free. None: not enough."""
        self._catch_up()
        if self.left < count:
            return None
        enough = [shape for shape, nodes in self._by_shape.items() if sum(shape) >= count and nodes]
        if not enough:
            return None
        best = max(enough, key=lambda shape: (shape[0], -shape[1]))
        node = self._nodes[next(iter(self._by_shape[best]))]
        return [*_smallest(node.free.values()), *node.coming.values()][:count]

    def _catch_up(self) -> None:
        """Remove GPUs that were assigned or reserved since the last call."""
        # A GPU suits many requests, most of which are rarely evaluated. Updating all of them for each GPU takes longer.
        if self._seen < len(self._removed):
            for gpu in self._removed[self._seen :]:
                node = self._nodes.get(gpu.node)
                if node is not None and (gpu.uuid in node.free or gpu.uuid in node.coming):
                    self._remove(gpu, node)
            self._seen = len(self._removed)

    def _remove(self, gpu: GPUOffer, node: _Node) -> None:
        self.left -= 1
        self._by_shape[node.shape].pop(gpu.node, None)
        if node.free.pop(gpu.uuid, None) is not None:
            self._free -= 1
            kind = _kind(gpu)
            count = node.alike[kind]
            node.alike[kind] = count - 1
            self._by_kind[kind][count].pop(gpu.node, None)
            self._by_kind[kind].setdefault(count - 1, {})[gpu.node] = None
        node.coming.pop(gpu.uuid, None)
        self._by_shape.setdefault(node.shape, {})[gpu.node] = None


def _kind(gpu: GPUOffer) -> _Kind:
    return gpu.total_mb or 0, gpu.name or ""


def _smallest(gpus: Iterable[GPUOffer], kind: _Kind | None = None) -> list[GPUOffer]:
    matching = [gpu for gpu in gpus if kind is None or _kind(gpu) == kind]
    return sorted(matching, key=lambda gpu: (_kind(gpu), gpu.index))
