import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gpus.sources.boards import MAX_GPUS, parse_boards


def names(text: str) -> list[str]:
    return [board.name for board in parse_boards(text)]


def test_boards_come_in_the_order_of_the_text():
    assert names("2x NVIDIA H100 80GB HBM3, NVIDIA L40S") == ["NVIDIA H100 80GB HBM3"] * 2 + ["NVIDIA L40S"]


@pytest.mark.parametrize("text", ["NVIDIA L40S", "nvidia l40s", "L40S", "1x L40S", " 1 X  L40S ", "L40S,", ",L40S"])
def test_known_board_is_found_in_any_spelling(text: str):
    assert names(text) == ["NVIDIA L40S"]


def test_known_board_has_its_own_values():
    (board,) = parse_boards("NVIDIA H100 80GB HBM3")
    assert (board.memory_mb, board.power_limit, board.datacenter) == (81_559, 700, True)


def test_unknown_board_has_the_memory_in_its_name():
    (board,) = parse_boards("Acme Turbo 96GB")
    assert (board.name, board.memory_mb) == ("Acme Turbo 96GB", 96 * 1024)


def test_unknown_board_without_a_size_has_average_memory():
    assert parse_boards("Acme Turbo")[0].memory_mb == 24_576


def test_maximum_number_of_gpus_can_be_simulated():
    assert len(parse_boards(f"{MAX_GPUS}x L40S")) == MAX_GPUS


@pytest.mark.parametrize("text", ["", " ", ",", "0x L40S", "513x L40S", "512x L40S, L40S", "9999x L40S", "x" * 200])
def test_invalid_list_of_boards_is_rejected(text: str):
    with pytest.raises(ValueError, match=r"is not of the form|can be simulated|at least one GPU"):
        parse_boards(text)


@given(st.text(max_size=60))
def test_any_text_gives_boards_or_a_value_error(text: str):
    try:
        boards = parse_boards(text)
    except ValueError:
        return
    assert 1 <= len(boards) <= MAX_GPUS
