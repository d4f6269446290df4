"""Which machine a GPU's UUID belongs to where several report it: a report can take nothing from another machine."""

from collections.abc import Collection, Iterable, Mapping

from api.domain.reading import MAX_GPUS
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUSnapshot

#: The most UUIDs remembered of one other machine. Those that it no longer reports are forgotten first.
MOST_CLAIMS = 2 * MAX_GPUS


class GPUOwners:
    """Remembers in which order machines first reported each UUID. One caller at a time."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._own: set[str] = set()
        self._claims: dict[str, list[str]] = {}  #: the other machines that have reported a UUID, the first one first
        self._uuids: dict[str, dict[str, None]] = {}  #: the UUIDs that each of them has reported, the latest last

    def note_own(self, snapshot: GPUSnapshot) -> None:
        """Take the GPUs of this machine: their UUIDs are its own for as long as this server runs."""
        self._own.update(gpu.uuid for gpu in snapshot.gpus if gpu.uuid is not None)

    def note(self, parts: Collection[NodePart]) -> None:
        """Take what these machines reported. Of several at once those whose claim was not disputed before go first."""
        for is_disputed in (False, True):
            for part in parts:
                for gpu in part.snapshot.gpus:
                    if gpu.uuid is not None and (gpu.uuid in part.disputed) is is_disputed:
                        self._claim(part.node, gpu.uuid)
        for part in parts:
            self._trim(part.node)

    def _claim(self, node: str, uuid: str) -> None:
        claims = self._claims.setdefault(uuid, [])
        if node not in claims:
            claims.append(node)
        known = self._uuids.setdefault(node, {})
        known.pop(uuid, None)
        known[uuid] = None

    def _trim(self, node: str) -> None:
        known = self._uuids.get(node, {})
        for uuid in list(known)[: max(0, len(known) - MOST_CLAIMS)]:
            self._withdraw(node, uuid)

    def forget(self, node: str) -> None:
        """Forget a machine and its claims."""
        for uuid in list(self._uuids.get(node, ())):
            self._withdraw(node, uuid)
        self._uuids.pop(node, None)

    def _withdraw(self, node: str, uuid: str) -> None:
        del self._uuids[node][uuid]
        self._claims[uuid].remove(node)
        if not self._claims[uuid]:
            del self._claims[uuid]

    def find_disputed(self, node: str, uuids: Iterable[str]) -> frozenset[str]:
        """Return those of these UUIDs that were another machine's before this node reported them."""
        return frozenset(uuid for uuid in uuids if uuid in self._own or self._claims.get(uuid, [node])[0] != node)

    def find_twins(self, parts: Iterable[NodePart], held: Collection[str], now: float) -> Mapping[tuple[str, str], str]:
        """Return the GPUs whose UUID is another machine's: by node and UUID, the machine that the UUID belongs to.

        It belongs to this machine, else to the first that reported it and still does. While that one is silent the next
        has it, as a board may have moved, except while a task holds the GPU (`held`).
        """
        twins: dict[tuple[str, str], str] = {}
        contested: dict[str, list[NodePart]] = {}
        for part in parts:
            for gpu in part.snapshot.gpus:
                if gpu.uuid in self._own:
                    twins[part.node, gpu.uuid] = self._own_node
                elif gpu.uuid is not None and len(self._claims.get(gpu.uuid, ())) > 1:
                    contested.setdefault(gpu.uuid, []).append(part)
        for uuid, rivals in contested.items():
            owner = self._find_owner(uuid, rivals, uuid in held, now)
            twins.update({(part.node, uuid): owner for part in rivals if part.node != owner})
        return twins

    def _find_owner(self, uuid: str, rivals: list[NodePart], is_held: bool, now: float) -> str:
        claims = self._claims[uuid]
        if is_held:
            return claims[0]
        rivals.sort(key=lambda part: claims.index(part.node))
        return next((part for part in rivals if not part.has_left and not part.is_silent(now)), rivals[0]).node
