import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.executors.attempt.orders import CHECKPOINT, KILL, RUNGS, TERMINATE, Order, Spec

SECONDS = st.floats(0, 1000)
ORDERS = st.builds(Order, st.sampled_from([None, "/run/save_quit"]), SECONDS, SECONDS)

SPEC = {
    "uid": "a",
    "argv": ["python"],
    "cwd": "/",
    "log_directory": "/log",
    "phrases": [],
    "step_prefix": "steps: ",
    "log_max_bytes": 100,
    "log_segment_bytes": 10,
    "leftover_seconds": 1.5,
}


@pytest.mark.parametrize(
    ("order", "rung"),
    [
        (Order("/save_quit", 10.0, 10.0), CHECKPOINT),
        (Order("/save_quit", 0.0, 10.0), TERMINATE),
        (Order(None, 10.0, 10.0), TERMINATE),
        (Order(None, 10.0, 0.0), KILL),
        (Order("/save_quit", 0.0, 0.0), KILL),
        (Order("/save_quit", 10.0, 0.0), CHECKPOINT),
    ],
)
def test_order_starts_with_its_softest_rung(order: Order, rung: str) -> None:
    assert order.first_rung == rung


@given(ORDERS, ORDERS)
def test_orders_never_become_softer(order: Order, other: Order) -> None:
    both = order.hardened_by(other)
    for one in (order, other):
        assert RUNGS.index(both.first_rung) >= RUNGS.index(one.first_rung)
        assert both.checkpoint_seconds <= one.checkpoint_seconds
        assert both.terminate_seconds <= one.terminate_seconds
    assert both.hardened_by(order).as_json() == both.hardened_by(other).as_json() == both.as_json()


@given(ORDERS)
def test_order_survives_serialisation(order: Order) -> None:
    assert Order.parse(order.as_json()).as_json() == order.as_json()


@pytest.mark.parametrize(
    "given",
    [{}, {"signal_file": 3, "checkpoint_seconds": "x"}, {"checkpoint_seconds": 5}, {"terminate_seconds": float("nan")}],
)
def test_invalid_order_counts_as_sigterm(given: dict[str, object]) -> None:
    assert Order.parse(given).first_rung == TERMINATE


def test_valid_spec_is_accepted() -> None:
    assert Spec(dict(SPEC)).leftover_seconds == 1.5


@pytest.mark.parametrize("name", list(SPEC))
@pytest.mark.parametrize("value", [None, True, {}, [1], -1])
def test_invalid_spec_names_the_field(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Spec({**SPEC, name: value})


def test_spec_without_a_program_is_rejected() -> None:
    with pytest.raises(ValueError, match="argv is empty"):
        Spec({**SPEC, "argv": []})
