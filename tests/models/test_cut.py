import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.models import (
    NETWORKS,
    Cut,
    all_block_keys,
    body_block_keys,
    body_indices,
    check_cut,
    client_block_keys,
    has_local_discriminator,
    head_indices,
    largest_cut,
    legal_cuts,
    load_model_spec,
    tail_indices,
)
from tests.models.specs import architectures

SPECS = architectures()
specs = st.sampled_from(SPECS)


@st.composite
def specs_and_cuts(draw):
    spec = draw(specs)
    return spec, draw(st.sampled_from(legal_cuts(spec)))


def test_the_authors_networks_have_sixteen_cuts():
    cuts = legal_cuts(load_model_spec("authors-28"))
    assert len(set(cuts)) == 16
    assert cuts[0] == Cut(1, 1, 1, 1)
    assert cuts[-1] == Cut(2, 2, 2, 2)


@given(specs, st.tuples(*[st.integers(-1, 8)] * 4))
def test_a_cut_is_legal_if_and_only_if_it_is_listed(spec, kept):
    cut = Cut(*kept)
    if cut in {*legal_cuts(spec), *legal_cuts(spec, local_discriminator=True)}:
        check_cut(spec, cut)
        return
    with pytest.raises(ValueError, match=rf"cut .*{spec.name} allows 1 to \d") as caught:
        check_cut(spec, cut)
    (named,) = [name for name in Cut._fields if name in str(caught.value)]
    assert f"keeps {getattr(cut, named)} blocks" in str(caught.value)
    most = dict(zip(Cut._fields, largest_cut(spec), strict=True))[named]
    assert not 1 <= getattr(cut, named) <= most


@given(specs)
def test_the_four_numbers_are_independent(spec):
    cuts = legal_cuts(spec)
    assert len(set(cuts)) == len(cuts) == math.prod(largest_cut(spec))
    assert cuts[0] == Cut()
    assert cuts[-1] == largest_cut(spec)


@given(specs)
def test_a_local_discriminator_is_whole_and_leaves_the_generators_numbers_free(spec):
    cuts = legal_cuts(spec, local_discriminator=True)
    assert [cut[:2] for cut in cuts] == sorted({cut[:2] for cut in legal_cuts(spec)})
    assert {cut[2:] for cut in cuts} == {(len(spec.discriminator.blocks), 0)}
    keys = [key for key in all_block_keys(spec) if key[0] == "discriminator"]
    for cut in cuts:
        assert has_local_discriminator(spec, cut)
        assert [key for key in client_block_keys(spec, cut) if key[0] == "discriminator"] == keys
    assert {network for network, _ in body_block_keys(spec, local_discriminator=True)} == {"generator"}
    assert not any(has_local_discriminator(spec, cut) for cut in legal_cuts(spec))


@given(specs_and_cuts())
def test_head_body_and_tail_form_the_network_in_order(spec_and_cut):
    spec, cut = spec_and_cut
    for network in NETWORKS:
        head, body, tail = (
            head_indices(cut, network),
            body_indices(spec, cut, network),
            tail_indices(spec, cut, network),
        )
        assert [*head, *body, *tail] == list(range(len(spec.network(network).blocks)))
        assert 0 in head
        assert len(spec.network(network).blocks) - 1 in tail
        assert spec.network(network).middle_index in body


@given(specs_and_cuts())
def test_every_block_belongs_to_either_the_client_or_the_server(spec_and_cut):
    spec, cut = spec_and_cut
    client = client_block_keys(spec, cut)
    body = {(network, index) for network in NETWORKS for index in body_indices(spec, cut, network)}
    assert set(client) | body == set(all_block_keys(spec))
    assert set(client) & body == set()
    assert len(client) == sum(cut)


@given(specs)
def test_the_server_builds_every_block_that_a_cut_may_leave_to_it(spec):
    left = {
        (network, index)
        for cut in legal_cuts(spec)
        for network in NETWORKS
        for index in body_indices(spec, cut, network)
    }
    assert set(body_block_keys(spec)) == left
