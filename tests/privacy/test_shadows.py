"""Shadow models: who is trained on what."""

import pytest
import torch

from huscf_flwr.methods import resolved
from huscf_flwr.privacy.shadows import halves, trained_shadow
from tests.run.builders import images_of_client, small_run


@pytest.mark.parametrize("count", [6, 7])
def test_each_image_is_in_one_model_of_each_pair(count):
    inside = halves(count, 4, seed=0)
    assert (inside[0] != inside[1]).all()
    assert (inside[2] != inside[3]).all()
    assert (inside[0] != inside[2]).any()
    assert all(count // 2 <= each.sum() <= count - count // 2 for each in inside)


@pytest.mark.parametrize("shadows", [0, 1, 3])
def test_an_odd_number_is_named(shadows):
    with pytest.raises(ValueError, match=f"--shadows: {shadows}; take an even number"):
        halves(6, shadows, seed=0)


def test_shadow_models_begin_alike_and_train_on_their_own_images(tmp_path):
    config = resolved(small_run(tmp_path, tmp_path, **{"model.width": 0.03, "batch_size": 4}))

    def weights(number, client):
        *_, states = trained_shadow(config, images_of_client(client, 8), 2, number)
        return states["discriminator", 0]["main.weight"].clone()

    first = weights(1, client=0)
    assert torch.equal(first, weights(1, client=0))
    assert not torch.equal(first, weights(2, client=0))
    assert not torch.equal(first, weights(1, client=1))
