"""Random networks, devices and problems for the property tests."""

from itertools import product

import numpy as np
from hypothesis import strategies as st

from huscf_flwr.cuts import CutProblem, Device, LatencyOptions, Server
from huscf_flwr.models import ModelSpec
from huscf_flwr.session import SentBytes

NORMS = st.sampled_from(["batch", "none"])


@st.composite
def model_specs(draw, most_blocks=6):
    """Networks of 3 blocks or more with any middle; images of 8x8."""
    size = 8
    channels = draw(st.integers(1, 3))
    inner = [draw(st.integers(1, 6)) for _ in range(2 * most_blocks)]
    middles = {}

    def block_count(network):
        count = draw(st.integers(3, most_blocks))
        middles[network] = draw(st.integers(2, count - 1))
        return count

    count = block_count("generator")
    generator = [
        {"kind": "projection", "embedding": 3, "channels": inner[0], "size": 4, "norm": draw(NORMS)},
        {"kind": "transposed_convolution", "channels": inner[1], "kernel": 4, "stride": 2, "padding": 1},
    ]
    for index in range(2, count):
        width = channels if index == count - 1 else inner[index]
        generator.append(
            {
                "kind": "transposed_convolution",
                "channels": width,
                "kernel": 3,
                "padding": 1,
                "norm": draw(NORMS),
            }
        )
    generator[-1]["activation"] = "tanh"
    count = block_count("discriminator")
    discriminator = [
        {
            "kind": "convolution",
            "label_plane": True,
            "channels": inner[0],
            "kernel": 4,
            "stride": 2,
            "padding": 1,
        }
    ]
    for index in range(1, count - 1):
        discriminator.append(
            {"kind": "convolution", "channels": inner[-index], "kernel": 3, "padding": 1, "norm": draw(NORMS)}
        )
    discriminator.append({"kind": "linear", "features": 1})
    return ModelSpec.model_validate(
        {
            "name": "random",
            "image": {"channels": channels, "size": size},
            "classes": 5,
            "latent": 7,
            "generator": {"middle": middles["generator"], "blocks": generator},
            "discriminator": {"middle": middles["discriminator"], "blocks": discriminator},
        }
    )


def speeds(lowest, highest):
    """Speeds spread over their orders of magnitude."""
    return st.floats(np.log(lowest), np.log(highest)).map(lambda power: float(np.exp(power)))


@st.composite
def device_lists(draw, least=1, most=5):
    """One profile per client; some clients have equal ones."""
    classes = [
        Device(
            name=f"c{index}",
            gflops=draw(speeds(0.001, 1)),
            mbit_per_s=draw(speeds(1, 1000)),
            download_mbit_per_s=draw(st.none() | speeds(1, 1000)),
            delay_ms=draw(st.just(0.0) | st.floats(0, 100)),
        )
        for index in range(draw(st.integers(1, most)))
    ]
    return tuple(draw(st.lists(st.sampled_from(classes), min_size=least, max_size=most)))


SERVERS = st.builds(Server, gflops=speeds(0.01, 2), mbit_per_s=speeds(10, 10000))
RULES = st.sampled_from(["paper", "exact"])
SENT = st.sampled_from(
    [SentBytes(), SentBytes(activation=0.5, generated=0.4, repeated=0.1, gradient=0.3, packing=0.7)]
)


@st.composite
def problems(draw, most_clients=5, most_assignments=None):
    """A problem without limits; with ``most_assignments``, one small enough to try them all."""
    spec = draw(model_specs())
    options = LatencyOptions(server_link_shared=draw(st.booleans()))
    devices = draw(device_lists(most=most_clients))
    server, rule, batch_size = draw(SERVERS), draw(RULES), draw(st.integers(1, 16))
    sent = draw(SENT)
    problem = CutProblem(spec, devices, server, batch_size, rule, options, sent=sent)
    if most_assignments is not None:
        fitting = int(np.log(most_assignments) / max(np.log(len(problem.cuts)), 1e-9))
        devices = devices[: max(1, fitting)]
        problem = CutProblem(spec, devices, server, batch_size, rule, options, sent=sent)
    return problem


def least_latency(problem):
    """Latency of the best of all allowed assignments, by trying them all."""
    by_client = [np.flatnonzero(problem.allowed[index]) for index in problem.class_of_client]
    assignments = np.array(list(product(*by_client)))
    return problem.model.latency(problem.cut_table[assignments]).min()
