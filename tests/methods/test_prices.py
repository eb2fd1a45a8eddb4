"""What a step of each method costs by the paper's rule and in its setting: 80 clients, batches of 64.

112.32 GFLOP are both networks, 21.61 the three passes of the discriminator, 90.72 the generator. The slowest
of the paper's devices has 0.48 GFLOP/s, the server 672.
"""

from dataclasses import replace

import pytest

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts import CutProblem, Device, LatencyOptions, Server
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import load_model_spec
from huscf_flwr.session import SentBytes
from tests.cuts.test_latency import paper_problem

BOTH, DISCRIMINATOR, GENERATOR = 112.32, 21.61, 90.72
SLOWEST, SERVER = 0.48, 672.0
IMAGES = 64 * 28 * 28 * 4


def price(name, problem=None, **settings):
    config = resolved(RunConfig(method=name, rounds=2, **settings))
    return method_of(config).price(config, problem or paper_problem(80))


def test_both_networks_on_the_client():
    """The issue's 234 s of FedGAN, and of training alone."""
    for name in ("fedgan", "local"):
        found = price(name)
        assert found.step_s == pytest.approx(234.0, abs=0.05)
        assert found.client_gflop == pytest.approx(BOTH, abs=0.01)
        assert found.server_gflop == 0


def test_two_generators_and_a_discriminator_on_the_client():
    """453 s for two generators and five passes of the discriminator."""
    found = price("hflgan")
    assert found.step_s == pytest.approx(453.0, abs=0.1)
    assert found.client_gflop == pytest.approx(2 * GENERATOR + 5 / 3 * DISCRIMINATOR, abs=0.05)


@pytest.mark.parametrize(("batches", "seconds"), [(1, 45.2), (80, 55.8)])
def test_the_discriminator_on_the_client(batches, seconds):
    found = price("mdgan", mdgan={"batches": batches})
    assert found.step_s == pytest.approx(seconds, abs=0.05)
    assert found.client_gflop == pytest.approx(DISCRIMINATOR, abs=0.01)
    assert found.server_gflop == pytest.approx(batches * GENERATOR, rel=1e-3)


def test_one_batch_for_all():
    """One client, so that nobody else is waited for: compute, one batch down and one gradient up."""
    device = Device(name="d", gflops=0.48, mbit_per_s=8.0, download_mbit_per_s=16.0)
    problem = CutProblem(
        load_model_spec("authors-28"), (device,), Server(gflops=SERVER, mbit_per_s=8000), 64, "paper"
    )
    computed = DISCRIMINATOR / SLOWEST + GENERATOR / SERVER
    images = IMAGES / 2e6 + IMAGES / 1e6
    assert price("fsgan", problem).step_s == pytest.approx(computed + images, abs=0.02)
    logits = 64 * 4 * (1 / 1e6 + 1 / 2e6)
    assert price("uagan", problem).step_s == pytest.approx(computed + images + logits, abs=0.02)
    difference = price("uagan", problem).step_s - price("fsgan", problem).step_s
    assert difference == pytest.approx(logits, rel=1e-6)


@pytest.mark.parametrize(("batch", "up", "down"), [(32, 4, 4), (128, 0.5, 4), (256, 0.5, 0.25)])
def test_numbers_that_do_not_fill_a_group_are_priced_as_they_are(batch, up, down):
    """UA-GAN's logits and the gradients at them, one number a sample, beside what FSGAN sends: the images."""
    device = Device(name="d", gflops=0.48, mbit_per_s=8.0, download_mbit_per_s=16.0)
    sent = SentBytes(activation=0.5, gradient=0.25, activation_group=128, gradient_group=256)
    server = Server(gflops=SERVER, mbit_per_s=8000)
    problem = CutProblem(load_model_spec("authors-28"), (device,), server, batch, "paper", sent=sent)
    difference = price("uagan", problem).step_s - price("fsgan", problem).step_s
    assert difference == pytest.approx(batch * (up / 1e6 + down / 2e6), rel=1e-4)


def test_half_of_the_rounds_on_the_server():
    found = price("pflgan")
    assert found.step_s == pytest.approx(BOTH / 2 / SLOWEST + 80 * BOTH / 2 / SERVER, rel=1e-3)
    assert found.client_gflop == pytest.approx(BOTH / 2, rel=1e-3)
    assert found.server_gflop == pytest.approx(80 * BOTH / 2, rel=1e-3)
    assert price("pflgan", pflgan={"local_rounds": 2}).server_gflop == 0


def test_everything_on_the_server():
    found = price("central", central={"batch_size": 128})
    assert found.server_gflop == pytest.approx(80 * 2 * BOTH, rel=1e-3)
    assert found.client_gflop == 0
    assert found.step_s == pytest.approx(80 * 2 * BOTH / SERVER, rel=1e-3)


def test_huscf_costs_what_its_cuts_do():
    """7.0025 s with the proven optimum; whatever rule chose them, cuts are priced by the problem's."""
    exact = {"cuts": {"solver": "exact", "flops": "paper"}}
    assert price("huscf", **exact).step_s == pytest.approx(7.0025, abs=5e-5)
    fixed = {"solver": "fixed", "fixed": (1, 1, 1, 1)}
    prices = {price("huscf", cuts={**fixed, "flops": rule}).step_s for rule in ("paper", "exact")}
    assert len(prices) == 1


@pytest.mark.parametrize(
    ("name", "settings", "packed"),
    [
        ("fedgan", {}, ["generator", "discriminator"]),
        ("hflgan", {"cloud_every": 1}, ["generator", "discriminator", "generator"]),
        ("hflgan", {"cloud_every": 2}, ["generator", "discriminator"]),
        ("mdgan", {"swap_every": 1}, ["discriminator"]),
        ("mdgan", {"swap_every": 2}, []),
    ],
)
def test_what_came_down_in_an_earlier_round_is_not_priced_as_packed(name, settings, packed):
    """A weight that goes up in one byte and not in four, once in the one step of a round, over 1 MB/s."""
    device = Device(name="d", gflops=0.48, mbit_per_s=8.0)
    problem = CutProblem(
        load_model_spec("authors-28"),
        (device,),
        Server(gflops=SERVER, mbit_per_s=8000),
        64,
        "paper",
        options=LatencyOptions(steps_per_round=1),
    )
    narrow = replace(problem, sent=SentBytes(upload=1))
    given = {name: settings} if settings else {}
    saved = price(name, problem, **given).step_s - price(name, narrow, **given).step_s
    weights = sum(float(problem.costs.network(network).parameters.sum()) for network in packed)
    assert saved == pytest.approx(3 * weights / 1e6, rel=1e-6, abs=1e-9)
