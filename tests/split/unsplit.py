"""The oracle: the same step without any split, one autograd graph, one loss, written on its own.

Every client has a whole network in which some blocks are its own and the others are shared objects. A shared
block runs on the concatenation of the clients that use it.
"""

import copy

import torch
from torch import nn
from torch.nn import functional

from huscf_flwr.models import NETWORKS, body_indices


class UnsplitStep:
    def __init__(self, executor, clients):
        self.clients = sorted(clients, key=lambda client: client.client)
        self.owned = {}
        self.shared = {}
        self.optimisers = {}
        for network in NETWORKS:
            shared = _copies(getattr(executor.segments, network).blocks)
            self.shared[network] = shared
            parameters = [p for block in shared.values() for p in block.parameters()]
            for client in self.clients:
                own = _copies(getattr(client.segments, network).blocks)
                self.owned[network, client.client] = own
                parameters += [p for block in own.values() for p in block.parameters()]
            self.optimisers[network] = torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), fused=True)

    def run(self, network, inputs, labels):
        spec = self.clients[0].spec
        current = dict(inputs)
        for index in range(len(spec.network(network).blocks)):
            together = []
            for client in self.clients:
                if client.client not in inputs:
                    continue
                if index in body_indices(spec, client.cut, network):
                    together.append(client.client)
                else:
                    block = self.owned[network, client.client][index]
                    current[client.client] = block(current[client.client], labels[client.client])
            if together:
                output = self.shared[network][index](torch.cat([current[k] for k in together]))
                pieces = output.split([len(current[k]) for k in together])
                current.update(zip(together, pieces, strict=True))
        return current

    def step(self, batches, gone=None):
        """One step; ``gone`` has the number of the first exchange in which a client had no part."""

        def present(exchange):
            return {k for k in batches if exchange < (gone or {}).get(k, 7)}

        labels = {k: batch.labels for k, batch in batches.items()}
        drawn = {k: batch.drawn_labels for k, batch in batches.items()}
        asked = {k: labels[k] if drawn[k] is None else drawn[k] for k in batches}
        fakes = self.run("generator", {k: batches[k].latents for k in present(1)}, asked)
        images = {k: batches[k].images for k in present(2)}
        loss = _loss(_of(self.run("discriminator", _detached(images, fakes), asked), present(3)), 0.0)
        loss = loss + _loss(_of(self.run("discriminator", images, labels), present(3)), 1.0)
        self._train("discriminator", loss)
        judged = {k: fakes[k] if k in present(6) else fakes[k].detach() for k in present(4)}
        self._train("generator", _loss(_of(self.run("discriminator", judged, asked), present(5)), 1.0))

    def _train(self, network, loss):
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        self.optimisers[network].step()


def _of(tensors, clients):
    return {k: tensor for k, tensor in tensors.items() if k in clients}


def _detached(clients, tensors):
    return {k: tensors[k].detach() for k in clients}


def _copies(blocks):
    return {int(index): copy.deepcopy(block) for index, block in blocks.items()}


def _loss(logits, target):
    return sum(
        functional.binary_cross_entropy(torch.sigmoid(logit), torch.full_like(logit, target))
        for logit in logits.values()
    )


def differences(executor, clients, oracle):
    """All tensors whose split and unsplit values differ by more than 1e-9, by name."""
    found = {}

    def compare(owner, blocks: nn.ModuleDict, expected):
        for index, block in blocks.items():
            for name, tensor in block.state_dict().items():
                other = expected[int(index)].state_dict()[name]
                difference = (tensor.double() - other.double()).abs().max().item()
                if difference > 1e-9:
                    found[f"{owner}.{blocks.network}.{index}.{name}"] = difference

    for network in NETWORKS:
        compare("server", getattr(executor.segments, network).blocks, oracle.shared[network])
        for client in clients:
            blocks = getattr(client.segments, network).blocks
            compare(f"client {client.client}", blocks, oracle.owned[network, client.client])
    return found
