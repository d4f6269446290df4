"""The boards that can be simulated: values from NVIDIA's data sheets, idle power as commonly reported."""

import re
from dataclasses import dataclass

from api.domain.machines.reading import MAX_GPUS


@dataclass(frozen=True, slots=True)
class Board:
    """A board model. Memory in MiB, power in W, clocks in MHz, temperatures in °C."""

    name: str
    memory_mb: int
    power_limit: int
    idle_watts: int
    sm_clock: int
    memory_clock: int
    architecture: str
    compute_capability: str
    datacenter: bool = False  #: has ECC and a memory temperature, and no fan of its own


_BOARDS = [
    Board("NVIDIA GeForce RTX 3090", 24_576, 350, 22, 1_695, 9_751, "Ampere", "8.6"),
    Board("NVIDIA GeForce RTX 4070 Ti SUPER", 16_376, 285, 12, 2_610, 10_501, "Ada", "8.9"),
    Board("NVIDIA GeForce RTX 4090", 24_564, 450, 20, 2_520, 10_501, "Ada", "8.9"),
    Board("NVIDIA GeForce RTX 5090", 32_607, 575, 25, 2_407, 14_001, "Blackwell", "12.0"),
    Board("NVIDIA RTX A6000", 49_140, 300, 22, 1_800, 8_001, "Ampere", "8.6"),
    Board("NVIDIA L40S", 46_068, 350, 35, 2_520, 9_001, "Ada", "8.9", datacenter=True),
    Board("NVIDIA A100-SXM4-40GB", 40_960, 400, 50, 1_410, 1_215, "Ampere", "8.0", datacenter=True),
    Board("NVIDIA A100-SXM4-80GB", 81_920, 400, 60, 1_410, 1_593, "Ampere", "8.0", datacenter=True),
    Board("NVIDIA H100 80GB HBM3", 81_559, 700, 70, 1_980, 2_619, "Hopper", "9.0", datacenter=True),
    Board("NVIDIA H200", 143_771, 700, 75, 1_980, 3_201, "Hopper", "9.0", datacenter=True),
    Board("NVIDIA B200", 183_359, 1_000, 140, 1_965, 3_996, "Blackwell", "10.0", datacenter=True),
]
_BY_NAME = {board.name.lower(): board for board in _BOARDS}

_ENTRY = re.compile(r"(?:(\d{1,4})\s*[xX]\s+)?(\S.{0,95})")
_SIZE_IN_NAME = re.compile(r"(\d{1,4})\s*GB\b", re.IGNORECASE)


def parse_boards(text: str) -> tuple[Board, ...]:
    """Parse boards from "8x NVIDIA H100 80GB HBM3, 2x NVIDIA L40S".

    Raises ValueError with the problem.
    """
    boards: list[Board] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f'"{entry}" is not of the form "4x NVIDIA GeForce RTX 4090"')
        count = int(match[1] or 1)
        if not 1 <= count <= MAX_GPUS - len(boards):
            raise ValueError(f"between 1 and {MAX_GPUS} GPUs can be simulated")
        boards.extend([_board(match[2])] * count)
    if not boards:
        raise ValueError('name at least one GPU, such as "4x NVIDIA GeForce RTX 4090"')
    return tuple(boards)


def _board(name: str) -> Board:
    known = _BY_NAME.get(name.lower()) or _BY_NAME.get(f"nvidia {name}".lower())
    if known is not None:
        return known
    size = _SIZE_IN_NAME.search(name)
    # An unknown board gets average values, and the memory size in its name.
    return Board(name, int(size[1]) * 1024 if size else 24_576, 300, 20, 2_000, 8_000, "Ada", "8.9")
