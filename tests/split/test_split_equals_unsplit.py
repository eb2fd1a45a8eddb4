"""One step of the split networks changes every tensor as the same step of the unsplit ones does."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.models import Cut, all_block_keys, flatten_blocks, legal_cuts
from huscf_flwr.split import Segments, unsplit_step
from tests.models.specs import small_specs
from tests.split.builders import DOUBLE, build, local_step, random_batch
from tests.split.unsplit import UnsplitStep, differences

SPECS = small_specs()


@st.composite
def populations(draw):
    """A network, a legal cut and a batch size for each of one to four clients, and a seed.

    And whether fakes have labels of their own.
    """
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    members = draw(
        st.lists(st.tuples(st.sampled_from(legal_cuts(spec)), st.integers(2, 5)), min_size=1, max_size=4)
    )
    return spec, members, draw(st.integers(0, 2**16)), draw(st.booleans())


@settings(max_examples=40, deadline=None)
@given(populations())
def test_one_step(population):
    spec, members, seed, apart = population
    executor, clients = build(spec, {k: cut for k, (cut, _) in enumerate(members)}, seed)
    oracle = UnsplitStep(executor, clients)
    batches = {k: random_batch(spec, size, seed + k, apart=apart) for k, (_, size) in enumerate(members)}

    local_step(executor, clients, batches)
    oracle.step(batches)

    assert differences(executor, clients, oracle) == {}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_several_steps_carry_moments_and_buffers_on(name):
    spec = SPECS[name]
    cuts = dict(enumerate([legal_cuts(spec)[0], legal_cuts(spec)[-1], legal_cuts(spec)[0]]))
    executor, clients = build(spec, cuts)
    oracle = UnsplitStep(executor, clients)
    for number in range(4):
        batches = {k: random_batch(spec, 2 + k, 10 * number + k) for k in cuts}
        local_step(executor, clients, batches)
        oracle.step(batches)
    assert differences(executor, clients, oracle) == {}


def test_one_client_with_all_blocks_is_the_unsplit_step():
    """Both steps are given the same fakes' labels, which are not those of the images."""
    spec = SPECS["authors-28"]
    batch = random_batch(spec, 4, 1, apart=True)
    executor, (client,) = build(spec, {0: Cut()})
    whole = Segments(spec, list(all_block_keys(spec)), seed=0, owner=0, dtype=DOUBLE)
    whole.load({**executor.segments.states(), **client.segments.states()})
    local_step(executor, [client], {0: batch})
    unsplit_step(whole, batch)
    split = flatten_blocks({**executor.segments.states(), **client.segments.states()})
    for name, tensor in flatten_blocks(whole.states()).items():
        torch.testing.assert_close(split[name], tensor, rtol=0, atol=1e-9)


def test_the_oracle_notices_other_labels_of_fakes():
    spec = SPECS["authors-28"]
    executor, clients = build(spec, {0: Cut()})
    oracle = UnsplitStep(executor, clients)
    batch = random_batch(spec, 4, 1, apart=True)
    local_step(executor, clients, {0: batch})
    oracle.step({0: replace(batch, drawn_labels=None)})
    assert len(differences(executor, clients, oracle)) > 20


def test_the_oracle_notices_a_difference():
    spec = SPECS["authors-28"]
    executor, clients = build(spec, {0: Cut()})
    oracle = UnsplitStep(executor, clients)
    local_step(executor, clients, {0: random_batch(spec, 3, 1)})
    oracle.step({0: random_batch(spec, 3, 2)})
    assert len(differences(executor, clients, oracle)) > 20
