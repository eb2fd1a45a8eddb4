"""What the discriminator's middle sees of a client's images does not depend on where that client is cut."""

import pytest
import torch

from huscf_flwr.models import Cut, build_blocks, head_indices, load_model_spec
from huscf_flwr.split.body import run_body

IMAGES = 6


def middle_of(spec, heads):
    """The middle's activations by client, for heads of these lengths."""
    stream = torch.Generator().manual_seed(0)
    cuts = {client: Cut(1, 1, head, 1) for client, head in enumerate(heads)}
    entering = {}
    for client, cut in cuts.items():
        images = torch.rand(IMAGES, *spec.image.shape, generator=stream) / 4 + client / 4
        labels = torch.arange(IMAGES) % spec.classes
        indices = head_indices(cut, "discriminator")
        entering[client] = build_blocks(spec, "discriminator", indices, seed=0).run(indices, images, labels)
    body = build_blocks(spec, "discriminator", range(1, len(spec.discriminator.blocks)), seed=0)
    return run_body(body, spec, cuts, entering).middle


@pytest.mark.parametrize("family", ["colour-32", "images-64"])
def test_a_longer_head_changes_nothing(family):
    """Normalised in a head by one client's own batch, its images would no longer be brighter than others'."""
    spec = load_model_spec(family, width=0.1)
    alike, mixed = middle_of(spec, (1, 1, 1)), middle_of(spec, (1, spec.discriminator.middle - 1, 1))
    for client, activations in alike.items():
        assert torch.allclose(mixed[client], activations, rtol=1e-4, atol=1e-5)
    means = [float(activations.mean((0, 2, 3)).norm()) for activations in alike.values()]
    assert len({round(mean, 3) for mean in means}) == 3
