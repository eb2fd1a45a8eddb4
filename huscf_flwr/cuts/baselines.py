"""Step times of other placements under the same costs: what the choice of cuts is compared with."""

from __future__ import annotations

import numpy as np

from huscf_flwr.cuts.problem import CutProblem


def full_networks_on_client(problem: CutProblem) -> float:
    """Return the seconds of a local step of the slowest client if both networks are on every client.

    That is FedGAN, FeGAN and the local phase of PFL-GAN; their exchange of models once a round is left out.
    """
    gflop = problem.costs.generator.total_gflop() + problem.costs.discriminator.total_gflop()
    return float((gflop / problem.class_model.speeds.gflops).max())


def discriminator_on_client(problem: CutProblem, generator_batches: int) -> float:
    """Return the seconds of a step of MD-GAN: the generator on the server, the discriminator on the client.

    The server makes ``generator_batches`` batches, 1 to the number of clients; each client downloads two of
    them and uploads the gradient at one.
    """
    speeds = problem.class_model.speeds
    image_bytes = problem.costs.generator.boundary_bytes[-1]
    compute_s = problem.costs.discriminator.total_gflop() / speeds.gflops
    link_s = image_bytes * (2 * speeds.download_s_per_byte + speeds.upload_s_per_byte)
    server_s = generator_batches * problem.costs.generator.total_gflop() / speeds.server_gflops
    return float(np.max(compute_s + link_s) + server_s)
