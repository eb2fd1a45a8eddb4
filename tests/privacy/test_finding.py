"""What an attack on images found of several clients, and of whom it found nothing."""

import math

import pytest

from huscf_flwr.privacy.finding import NothingHad, Reconstructed, finding_of_images
from huscf_flwr.privacy.scoring import Nearness


def had(psnr, guessed=12.0, **changes):
    return Reconstructed(Nearness(psnr, psnr + 1, 0.5), guessed, 0.9, **changes)


def found(by_client, **floor):
    return finding_of_images("A4", "a server", "images", by_client, "labels", **floor)


def test_the_client_that_gave_most_away_counts_with_its_own_mean_image():
    told = found({0: had(20.0, 15.0), 1: had(30.0, 11.0)})
    assert (told.value, told.chance, told.clients, told.failed) == (30, 11, (0, 1), False)
    assert told.details == {"labels": 0.9, "psnr_worst_decile": 31, "ssim": 0.5}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_not_a_number_is_below_every_floor_and_hides_nobody_elses(order):
    of_client = {0: had(math.nan), 1: had(30.0)}
    told = found({client: of_client[client] for client in order})
    assert told.failed
    assert (told.value, told.details["psnr_worst_decile"]) == (30, 31)
    assert found({0: had(math.nan)}).failed


@pytest.mark.parametrize(
    ("psnr", "works", "failed"), [(12.1, True, False), (11.9, True, True), (30.0, False, True)]
)
def test_it_failed_below_the_floor_that_goes_with_the_mean_image_or_where_it_does_not_work(
    psnr, works, failed
):
    assert found({0: had(psnr, works=works)}, floor=lambda mean_image: mean_image).failed is failed


def test_of_whom_nothing_was_had_is_kept_apart_by_whether_it_was_tried():
    none = {1: NothingHad("it has left"), 2: NothingHad("no room", untried=True)}
    told = found({0: had(30.0), **none})
    assert (told.clients, told.withstood, told.untried) == ((0,), {1: "it has left"}, {2: "no room"})
    nobody = found(none)
    assert (nobody.value, nobody.reason, nobody.failed) == (None, "it has left; no room", False)
