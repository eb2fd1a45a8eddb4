"""Small models and batches for the tests of the split engine."""

import torch

from huscf_flwr.models import CPU, ModelSpec, load_model_spec
from huscf_flwr.session import Ledger, LocalChannel, LockStep, run_step
from huscf_flwr.split import Batch, HostedClient, SplitClient, SplitExecutor

DOUBLE = torch.float64


def three_block_spec() -> ModelSpec:
    """The smallest network there is: nothing can move."""
    return ModelSpec.model_validate(
        {
            "name": "three-blocks",
            "image": {"channels": 1, "size": 8},
            "classes": 3,
            "latent": 5,
            "generator": {
                "middle": 2,
                "blocks": [
                    {"kind": "projection", "embedding": 2, "channels": 4, "size": 4, "norm": "batch"},
                    {
                        "kind": "transposed_convolution",
                        "channels": 3,
                        "kernel": 4,
                        "stride": 2,
                        "padding": 1,
                        "norm": "batch",
                        "activation": "relu",
                    },
                    {
                        "kind": "transposed_convolution",
                        "channels": 1,
                        "kernel": 3,
                        "padding": 1,
                        "activation": "tanh",
                    },
                ],
            },
            "discriminator": {
                "middle": 2,
                "blocks": [
                    {"kind": "convolution", "label_plane": True, "channels": 3, "kernel": 3, "padding": 1},
                    {"kind": "convolution", "channels": 4, "kernel": 4, "stride": 2, "norm": "batch"},
                    {"kind": "linear", "features": 1},
                ],
            },
        }
    )


def small_specs() -> dict[str, ModelSpec]:
    return {
        "authors-28": load_model_spec("authors-28", width=0.03),
        "colour-32": load_model_spec("colour-32", width=0.02),
        "three-blocks": three_block_spec(),
    }


def random_batch(spec: ModelSpec, size: int, seed: int, dtype=DOUBLE) -> Batch:
    stream = torch.Generator().manual_seed(seed)
    return Batch(
        images=torch.rand(size, *spec.image.shape, generator=stream, dtype=dtype) * 2 - 1,
        labels=torch.randint(spec.classes, (size,), generator=stream),
        latents=torch.randn(size, spec.latent, generator=stream, dtype=dtype),
    )


def build(spec, cuts, seed=0, dtype=DOUBLE, device=CPU, executor_device=None):
    """An executor and one client per cut, each with weights of its own."""
    executor = SplitExecutor(spec, cuts, seed=seed, dtype=dtype, device=executor_device or device)
    clients = [
        SplitClient(client, spec, cut, seed=seed, owner=client, dtype=dtype, device=device)
        for client, cut in cuts.items()
    ]
    return executor, clients


def open_session(executor, hosts, *, steps=1, ledger=None, patience=30.0, wire=None, **settings):
    return LockStep(
        executor,
        hosts,
        ledger=ledger or Ledger(),
        steps=steps,
        patience=patience if callable(patience) else lambda _: patience,
        wire=wire,
        **settings,
    )


def exchanged(channel, exchange, frames):
    """Send the frames of some clients, and return what comes down for them."""
    for client, frame in frames.items():
        channel.send(exchange, client, frame)
    return dict(channel.receive(exchange) for _ in frames)


def local_step(executor, clients, batches, ledger=None):
    session = open_session(executor, [[client.client for client in clients]], ledger=ledger)
    hosted = [HostedClient(client, lambda k=client.client: batches[k]) for client in clients]
    return run_step(hosted, LocalChannel(session))
