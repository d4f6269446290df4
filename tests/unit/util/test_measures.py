from prometheus_client.metrics_core import Metric

from api.util import measures
from api.util.ids import current_request_id


def test_names_and_units_follow_prometheus_conventions():
    for histogram in measures.ALL:
        assert histogram.name.startswith("diffusion_pipe_")
        assert histogram.name.endswith("_seconds")
        assert histogram.help.endswith(".")


def test_transaction_of_a_request_can_be_found_by_its_id():
    token = current_request_id.set("of-a-test-7")
    try:
        measures.note_transaction("read", 0.0007)
    finally:
        current_request_id.reset(token)
    (family,) = measures.transactions.collect()
    assert {"request_id": "of-a-test-7"} in _exemplars(family)


def test_transaction_of_a_loop_has_no_example():
    before = [_exemplars(family) for family in measures.transactions.collect()]
    measures.note_transaction("read", 99.0)
    assert [_exemplars(family) for family in measures.transactions.collect()] == before


def _exemplars(family: Metric) -> list[object]:
    return [sample.exemplar.labels for sample in family.samples if sample.exemplar]
