"""One step of the split networks changes every tensor as the same step of the unsplit ones does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huscf_flwr.models import Cut, legal_cuts
from tests.models.specs import small_specs
from tests.split.builders import build, local_step, random_batch
from tests.split.unsplit import UnsplitStep, differences

SPECS = small_specs()


@st.composite
def populations(draw):
    """A network, a legal cut and a batch size for each of one to four clients, and a seed."""
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    members = draw(
        st.lists(st.tuples(st.sampled_from(legal_cuts(spec)), st.integers(2, 5)), min_size=1, max_size=4)
    )
    return spec, members, draw(st.integers(0, 2**16))


@settings(max_examples=40, deadline=None)
@given(populations())
def test_one_step(population):
    spec, members, seed = population
    executor, clients = build(spec, {k: cut for k, (cut, _) in enumerate(members)}, seed)
    oracle = UnsplitStep(executor, clients)
    batches = {k: random_batch(spec, size, seed + k) for k, (_, size) in enumerate(members)}

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


def test_the_oracle_notices_a_difference():
    spec = SPECS["authors-28"]
    executor, clients = build(spec, {0: Cut()})
    oracle = UnsplitStep(executor, clients)
    local_step(executor, clients, {0: random_batch(spec, 3, 1)})
    oracle.step({0: random_batch(spec, 3, 2)})
    assert len(differences(executor, clients, oracle)) > 20
