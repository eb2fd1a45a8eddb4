"""A3 without batches: the mix of labels from the mean of the discriminator's middle."""

import pytest
import torch

from huscf_flwr.config import load_config
from huscf_flwr.data import normalise
from huscf_flwr.data.digits import make_digits
from huscf_flwr.methods import resolved
from huscf_flwr.models import build_blocks, model_spec_of
from huscf_flwr.privacy.attacks.mix import total_variation
from huscf_flwr.privacy.middle_means import mix_of_middle
from huscf_flwr.privacy.shadows import trained_shadow


@pytest.mark.slow
def test_the_mean_of_the_middle_tells_how_often_a_client_has_each_label():
    """Networks that have trained for 100 steps; a client with five labels, one of them more often."""
    config = resolved(load_config("demo", ["model.width=0.1", "optimiser.learning_rate=0.001"]))
    images, spec = make_digits()[0], model_spec_of(config)
    *_, model = trained_shadow(config, images, 100, 0)
    counts = (90, 30, 30, 30, 30)
    places = [(images.labels == label).nonzero().flatten()[:n] for label, n in enumerate(counts)]
    order = torch.randperm(sum(counts), generator=torch.Generator().manual_seed(0))
    own = images.subset(torch.cat(places)[order])
    blocks = build_blocks(spec, "discriminator", range(spec.discriminator.middle_index + 1), seed=0)
    blocks.load(model)
    with torch.no_grad():
        batches = zip(own.images.split(30), own.labels.split(30), strict=True)
        seen = torch.cat([blocks(normalise(batch), labels) for batch, labels in batches]).mean(0)
    truth = torch.tensor([*counts, 0, 0, 0, 0, 0]).double() / sum(counts)
    assert total_variation(truth, torch.full((10,), 0.1).double()) == pytest.approx(0.5)
    assert total_variation(mix_of_middle(config, model, seen), truth) < 0.15
