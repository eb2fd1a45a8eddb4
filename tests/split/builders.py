"""Small models and batches for the tests of the split engine."""

from dataclasses import replace

import torch

from huscf_flwr.models import CPU, ModelSpec
from huscf_flwr.session import Ledger, LocalChannel, LockStep, run_step
from huscf_flwr.split import Batch, HostedClient, SplitClient, SplitExecutor

DOUBLE = torch.float64


def random_batch(spec: ModelSpec, size: int, seed: int, dtype=DOUBLE, *, apart=False) -> Batch:
    """With ``apart`` the fakes have labels of their own, drawn last."""
    stream = torch.Generator().manual_seed(seed)
    batch = Batch(
        images=torch.rand(size, *spec.image.shape, generator=stream, dtype=dtype) * 2 - 1,
        labels=torch.randint(spec.classes, (size,), generator=stream),
        latents=torch.randn(size, spec.latent, generator=stream, dtype=dtype),
    )
    if not apart:
        return batch
    return replace(batch, drawn_labels=torch.randint(spec.classes, (size,), generator=stream))


def build(spec, cuts, seed=0, dtype=DOUBLE, device=CPU, executor_device=None):
    """An executor and one client per cut, each with weights of its own."""
    executor = SplitExecutor(spec, cuts, seed=seed, dtype=dtype, device=executor_device or device)
    clients = [
        SplitClient(client, spec, cut, seed=seed, owner=client, dtype=dtype, device=device)
        for client, cut in cuts.items()
    ]
    return executor, clients


def open_session(executor, hosts, *, steps=1, ledger=None, patience=300.0, wire=None, **settings):
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
