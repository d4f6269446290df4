"""Decides which machine owns a GPU's UUID if several report it: a report cannot take a GPU from another machine."""

from collections.abc import Collection, Iterable, Mapping

from api.domain.reading import MAX_GPUS
from api.gpus.other_machines import NodePart
from api.gpus.snapshot import GPUSnapshot

#: The maximum number of UUIDs stored per machine. UUIDs that are no longer reported are dropped first.
MOST_CLAIMS = 2 * MAX_GPUS


class GPUOwners:
    """Stores the order in which machines first reported each UUID. Not thread-safe."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._own: set[str] = set()
        self._claims: dict[str, list[str]] = {}  #: the other machines that have reported a UUID, the first one first
        self._uuids: dict[str, dict[str, None]] = {}  #: the UUIDs that each of them has reported, the latest last

    def note_own(self, snapshot: GPUSnapshot) -> None:
        """Record this machine's GPUs: their UUIDs belong to it while this server runs."""
        self._own.update(gpu.uuid for gpu in snapshot.gpus if gpu.uuid is not None)

    def note(self, parts: Collection[NodePart]) -> None:
        """Record the reports of these machines. Undisputed claims come before disputed ones."""
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
        """Remove a machine and its claims."""
        for uuid in list(self._uuids.get(node, ())):
            self._withdraw(node, uuid)
        self._uuids.pop(node, None)

    def _withdraw(self, node: str, uuid: str) -> None:
        del self._uuids[node][uuid]
        self._claims[uuid].remove(node)
        if not self._claims[uuid]:
            del self._claims[uuid]

    def find_disputed(self, node: str, uuids: Iterable[str]) -> frozenset[str]:
        """Return those of these UUIDs that another machine reported before this node."""
        return frozenset(uuid for uuid in uuids if uuid in self._own or self._claims.get(uuid, [node])[0] != node)

    def find_duplicates(
        self, parts: Iterable[NodePart], held: Collection[str], now: float
    ) -> Mapping[tuple[str, str], str]:
        """Return the GPUs whose UUID belongs to another machine, as that machine by node and UUID.

        A UUID belongs to this machine, else to the first machine that reported it and still does. While that machine is
        silent the UUID belongs to the next one, as a board may have moved, unless a task holds the GPU (`held`).
        """
        duplicates: dict[tuple[str, str], str] = {}
        contested: dict[str, list[NodePart]] = {}
        for part in parts:
            for gpu in part.snapshot.gpus:
                if gpu.uuid in self._own:
                    duplicates[part.node, gpu.uuid] = self._own_node
                elif gpu.uuid is not None and len(self._claims.get(gpu.uuid, ())) > 1:
                    contested.setdefault(gpu.uuid, []).append(part)
        for uuid, rivals in contested.items():
            owner = self._find_owner(uuid, rivals, uuid in held, now)
            duplicates.update({(part.node, uuid): owner for part in rivals if part.node != owner})
        return duplicates

    def _find_owner(self, uuid: str, rivals: list[NodePart], is_held: bool, now: float) -> str:
        claims = self._claims[uuid]
        if is_held:
            return claims[0]
        rivals.sort(key=lambda part: claims.index(part.node))
        return next((part for part in rivals if not part.has_left and not part.is_silent(now)), rivals[0]).node
