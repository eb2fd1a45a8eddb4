"""Each method says of every attack how it is tried, or why it does not apply."""

import pytest

from huscf_flwr.methods import method_named
from huscf_flwr.methods.fedgan import FedGAN
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.privacy.registry import ATTACKS, DEFAULT_ATTACKS, ON, ON_IMAGES, attackable


@pytest.mark.parametrize("method", ON, ids=lambda method: method.__name__)
def test_every_attack_is_tried_or_has_a_reason_and_not_both(method):
    found = attackable(method)
    assert not found.attacks.keys() & found.reasons.keys()
    told = found.attacks.keys() | found.reasons.keys()
    assert told == ATTACKS.keys() - (set(ON_IMAGES) if method is HuSCF else set())


def test_a_method_that_is_derived_is_attacked_as_what_it_is_derived_from():
    mine = type("Mine", (FedGAN,), {"name": "mine"})
    assert attackable(mine) is ON[FedGAN]


def test_a_method_that_nobody_has_attacked_is_named():
    with pytest.raises(
        ValueError, match="method: fedproto; there are attacks on huscf, fedgan, mdgan, fedvtc"
    ):
        attackable(method_named("fedproto"))


def test_models_of_an_attackers_own_are_trained_only_where_somebody_asks_for_them():
    assert set(ATTACKS) - set(DEFAULT_ATTACKS) == {"A4-gradients", "A5", "A6"}
