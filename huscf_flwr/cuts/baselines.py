"""Step times of other placements under the same costs: what the choice of cuts is compared with."""

from __future__ import annotations

from huscf_flwr.cuts.placement import (
    Placement,
    Turn,
    image_numbers,
    images_bytes,
    network_gflop,
    packed,
    priced,
    whole_networks,
)
from huscf_flwr.cuts.problem import CutProblem


def full_networks_on_client(problem: CutProblem) -> float:
    """Return the seconds of a local step of the slowest client if both networks are on every client.

    That is FedGAN, FeGAN and the local phase of PFL-GAN; their exchange of models once a round is left out.
    """
    return priced(whole_networks(problem, sent=False), problem).step_s


def discriminator_on_client(problem: CutProblem, generator_batches: int) -> float:
    """Return the seconds of a step of MD-GAN: the generator on the server, the discriminator on the client.

    The server makes ``generator_batches`` batches, 1 to the number of clients; each client downloads two of
    them and uploads the gradient at one.
    """
    step = server_generator_turn(problem, generator_batches, batches_down=2)
    return priced(Placement(step=(step,)), problem).step_s


def server_generator_turn(problem: CutProblem, generator_batches: int, *, batches_down: int) -> Turn:
    """Return the turn of a step in which the server makes images and clients judge them.

    Each client is sent ``batches_down`` of the ``generator_batches``, and sends the gradient at one.
    """
    return Turn(
        server_gflop=generator_batches * network_gflop(problem, "generator"),
        down_bytes=batches_down * images_bytes(problem),
        client_gflop=network_gflop(problem, "discriminator"),
        up_bytes=images_bytes(problem, gradients=True),
        packed_numbers=packed(problem, (batches_down + 1) * image_numbers(problem)),
    )
