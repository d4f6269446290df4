from api.composition.fleet import simulated_seed
from api.config import Config


def test_nodes_have_different_simulated_gpus_and_a_head_those_of_its_seed():
    seeds = [simulated_seed(Config(role="node", head_url="http://a", node_name=name)) for name in ("gpu2", "gpu3")]
    assert seeds[0] != seeds[1]
    assert simulated_seed(Config(simulated_seed=7, node_name="gpu2")) == 7
