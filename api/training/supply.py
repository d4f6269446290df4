"""The GPUs that suit one wish, as a pass over the queue gives them away: what is free and what comes free, by node.

A task's GPUs are always of one node. All sums are kept up with each GPU that goes, so that a pass over many tasks looks
at no GPU twice.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from api.domain.gpu import GPUOffer

_Kind = tuple[int, str]  # the MB of memory, and the name
_Nodes = dict[str, None]  # a set that keeps its order


@dataclass(slots=True)
class _Node:
    free: dict[str, GPUOffer] = field(default_factory=dict)  #: by UUID
    coming: dict[str, GPUOffer] = field(default_factory=dict)
    alike: dict[_Kind, int] = field(default_factory=dict)  #: how many of each kind are free

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.free), len(self.coming)


class Supply:
    """GPUs that suit a wish. Those that are not open, and of which nobody knows when they will be, are not in it."""

    def __init__(
        self,
        suitable: Iterable[GPUOffer],
        is_open: Collection[str],
        reserved: Collection[str],
        gone: Sequence[GPUOffer] = (),
    ) -> None:
        """`is_open` are the UUIDs of what is neither taken nor kept, `reserved` of what is kept. `gone` grows by what
        is given away or kept later: who is asked looks what that was.
        """
        self._gone, self._known_gone = gone, len(gone)
        self.suitable = tuple(suitable)
        self._nodes: dict[str, _Node] = {}
        self.most = self._sort(is_open, reserved)  #: on one node, now or once they are free
        self._by_shape: dict[tuple[int, int], _Nodes] = {}
        self._by_kind: dict[_Kind, dict[int, _Nodes]] = {}
        for name, node in self._nodes.items():
            self._by_shape.setdefault(node.shape, {})[name] = None
            for kind, count in node.alike.items():
                self._by_kind.setdefault(kind, {}).setdefault(count, {})[name] = None
        self._kinds = sorted(self._by_kind)
        self._free = sum(len(node.free) for node in self._nodes.values())
        #: Those that are free or come free, on all nodes; less what has gone since it was last asked.
        self.left = self._free + sum(len(node.coming) for node in self._nodes.values())

    def _sort(self, is_open: Collection[str], reserved: Collection[str]) -> int:
        """Puts each GPU to its node; how many the fullest node has, now or once they are free."""
        usable: dict[str, int] = {}
        for gpu in self.suitable:
            if not gpu.is_available and gpu.held_by is None:
                # A foreign process may stay for ever, and nobody waits for ever behind it.
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
        """The smallest GPUs that suffice, of one kind where possible, so that large boards stay free for who needs
        them; on the node that has the fewest left then. None when no node has enough.
        """
        self._catch_up()
        if self._free < count:
            return None
        for kind in self._kinds:
            places = self._by_kind[kind]
            left = min((number for number, nodes in places.items() if number >= count and nodes), default=None)
            if left is not None:
                node = self._nodes[next(iter(places[left]))]
                return _smallest(node.free.values(), kind)[:count]
        shape = min((each for each, nodes in self._by_shape.items() if each[0] >= count and nodes), default=None)
        return (
            None if shape is None else _smallest(self._nodes[next(iter(self._by_shape[shape]))].free.values())[:count]
        )

    def keep(self, count: int) -> list[GPUOffer] | None:
        """What is to be kept for a task that waits for these many: on the node that has the most of them already.
        None when they will not come.
        """
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
        """Takes out what was given away or is kept since it was last asked."""
        # A GPU suits many wishes, each of which is asked now and then: to tell all of them of each GPU takes longer.
        if self._known_gone < len(self._gone):
            for gpu in self._gone[self._known_gone :]:
                node = self._nodes.get(gpu.node)
                if node is not None and (gpu.uuid in node.free or gpu.uuid in node.coming):
                    self._remove(gpu, node)
            self._known_gone = len(self._gone)

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
    wanted = [gpu for gpu in gpus if kind is None or _kind(gpu) == kind]
    return sorted(wanted, key=lambda gpu: (_kind(gpu), gpu.index))
