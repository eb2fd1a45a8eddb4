import torch

from huscf_flwr.methods.fedvtc import FedVTCSettings
from huscf_flwr.methods.fedvtc.decoder_training import DecoderTraining, OwnImages
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics
from tests.methods.fedvtc.plain_rounds import FEATURES


def test_of_many_classes_a_few_are_matched_in_a_batch_others_in_another():
    """So that time and memory of a batch do not grow with the number of classes."""
    settings = FedVTCSettings(matching=1.0, matching_classes="all", matching_at_once=3, matching_images=2)
    means = torch.arange(100, dtype=torch.float64)[:, None] * torch.ones(FEATURES, dtype=torch.float64)
    offsets = torch.zeros(20, FEATURES, dtype=torch.float64)
    deviations = torch.full((FEATURES,), 1e-9, dtype=torch.float64)
    statistics = GlobalStatistics(means, torch.ones(100, dtype=torch.bool), deviations)
    own = OwnImages(torch.zeros(20, 1, 4, 4), torch.zeros(20, dtype=torch.long), means[:20], means, offsets)
    seen = []

    class Showing(torch.nn.Module):
        """Draws an image that says of which class it is."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, vectors):
            return vectors[:, :1, None, None].expand(-1, 1, 4, 4) + self.weight

    def extractor(images):
        seen.append(images[:, 0, 0, 0].detach().round().long().tolist())
        return images.flatten(1)[:, :FEATURES]

    training = DecoderTraining(Showing(), deviations, own, statistics, extractor, settings)
    list(training.train(5, torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)))
    assert len(seen) == 20
    for labels in seen:
        assert len(labels) == 6
        assert len(set(labels)) == 3
        assert labels == sorted(labels)
    assert len({label for labels in seen for label in labels}) > 30
