from huscf_flwr.cuts import GreedySearch, LatencyOptions, deal, load_devices, select_cuts
from huscf_flwr.models import load_model_spec


def test_one_cut_for_each_client_in_their_order():
    """The slowest device keeps least, wherever it stands among the clients."""
    profiles = load_devices("paper")
    spec = load_model_spec("authors-28")
    devices = deal(profiles.devices, 20, seed=4, order="shuffled")
    solution = select_cuts(
        spec, devices, profiles.server, batch_size=64, solver=GreedySearch(), flops="paper", seed=0
    )
    assert len(solution.cuts) == 20
    kept = {device.name: sum(cut) for device, cut in zip(devices, solution.cuts, strict=True)}
    assert kept["d1"] == min(kept.values()) < kept["d3"]


def test_options_reach_the_latency():
    profiles = load_devices("paper")
    spec = load_model_spec("authors-28")
    devices = deal(profiles.devices, 20)
    plain, shared = (
        select_cuts(
            spec, devices, profiles.server, batch_size=64, solver=GreedySearch(), options=LatencyOptions(on)
        )
        for on in (False, True)
    )
    assert shared.latency_s > plain.latency_s
