"""Where the attack on a decoder of FedVTC asks it for images."""

from types import SimpleNamespace

import pytest
import torch

from huscf_flwr.methods import resolved
from huscf_flwr.methods.fedvtc.crossing import FedVTCDescription
from huscf_flwr.methods.fedvtc.drawing import initial_decoder
from huscf_flwr.privacy.decoders import images_around_means
from tests.run.builders import DEVICE, METHODS, small_run

OWN, COMMON = torch.tensor([[1.0], [2.0]]), torch.tensor([[7.0]])


def asked(config, decoder):
    width = decoder.layers[0].in_channels
    means, common = OWN.expand(2, width), COMMON.expand(1, width)
    description = FedVTCDescription(samples=9, device=DEVICE, classes=(2, 4), counts=(4, 5))
    evidence = SimpleNamespace(config=config, method=SimpleNamespace(clients={0: description}))
    sent = {"classes": torch.tensor([4]), "means": common}
    transcript = SimpleNamespace(
        client=0,
        upload=SimpleNamespace(tensors={"class_means": {"means": means}, "decoder": decoder.state_dict()}),
        order=SimpleNamespace(tensors={"statistics": sent}),
    )
    return images_around_means(evidence, transcript)


@pytest.mark.parametrize(
    ("latents", "second", "along"),
    [("sampled", 2.0, [0.0]), ("recentred", 7.0, [0.0]), ("whitened", 7.0, [-4.5, -2.25, 0.0, 2.25, 4.5])],
)
def test_it_is_asked_where_it_was_trained(tmp_path, latents, second, along):
    """Class 4 is known to all; of class 2 nothing was known yet."""
    settings = {"fedvtc.latents": latents, "fedvtc.latent_spread": 3.0}
    config = resolved(small_run(tmp_path, tmp_path, **METHODS["fedvtc"], **settings))
    decoder = initial_decoder(config)
    classes, drawn = asked(config, decoder)
    assert classes == (2, 4) * len(along)
    width = decoder.layers[0].in_channels
    for place, step in enumerate(along):
        for row, middle in enumerate((1.0, second)):
            vector = torch.full((1, width), middle)
            vector[0, 0] += step
            torch.testing.assert_close(drawn[2 * place + row], decoder(vector)[0].detach())
