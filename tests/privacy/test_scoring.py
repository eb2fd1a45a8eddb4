"""Decibel and similarity, by hand."""

import pytest
import torch

from huscf_flwr.privacy.scoring import nearness, peak_signal_to_noise, structural_similarity

GREY = torch.zeros(3, 1, 14, 14)


def test_decibel_of_an_error_by_hand():
    """An error of 0.2 everywhere: 10 log10(4 / 0.04) = 20."""
    assert peak_signal_to_noise(GREY + 0.2, GREY).tolist() == pytest.approx([20, 20, 20], abs=1e-5)


def test_what_is_beyond_the_range_is_clipped_first():
    white = torch.ones(1, 1, 14, 14)
    assert peak_signal_to_noise(white + 7, white).item() == 200


def test_the_median_and_what_a_tenth_exceeds():
    errors = torch.tensor([0.2, 0.02, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.002]).view(-1, 1, 1, 1)
    found = nearness(torch.zeros(11, 1, 14, 14) + errors, torch.zeros(11, 1, 14, 14))
    assert (found.psnr, found.psnr_worst_decile) == (pytest.approx(20, abs=1e-4), pytest.approx(40, abs=1e-4))


def test_similarity_is_one_of_the_same_and_less_of_others():
    image = torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert structural_similarity(image, image).tolist() == pytest.approx([1, 1])
    assert structural_similarity(-image, image).max() < 0
    assert structural_similarity(image, image.flip(3)).max() < 0.5
