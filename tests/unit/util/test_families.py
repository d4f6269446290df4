from prometheus_client import CollectorRegistry, generate_latest

from api.util.families import counter, exemplar, gauge, histogram


class Everything:
    def collect(self):
        yield gauge("one_value", "One.", value=2)
        by_name = counter("by_name", "Some.", labels=["name"])
        by_name.add_metric(["a"], 3)
        yield by_name
        sizes = histogram("sizes", "Sizes.", ["name"])
        sizes.add_metric(["a"], [("1.0", 1), ("+Inf", 2)], 5)
        yield sizes


def test_families_are_those_that_prometheus_client_writes():
    registry = CollectorRegistry()
    registry.register(Everything())
    text = generate_latest(registry).decode()
    assert "one_value 2.0\n" in text
    assert 'by_name_total{name="a"} 3.0\n' in text
    assert 'sizes_bucket{le="+Inf",name="a"} 2.0\n' in text


def test_exemplar_names_one_that_was_counted():
    made = exemplar({"request_id": "r1"}, 0.5, 12.0)
    assert (made.labels, made.value, made.timestamp) == ({"request_id": "r1"}, 0.5, 12.0)
