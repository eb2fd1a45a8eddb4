import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from huscf_flwr.models import NETWORKS, legal_cuts
from huscf_flwr.session import FrameError
from huscf_flwr.session.exchange import all_finite, check_frame, immoderate
from huscf_flwr.split import CRITICISE, DISCRIMINATE, EXCHANGES
from tests.split.builders import small_specs

SPECS = small_specs()
SPEC = SPECS["authors-28"]
CUT = legal_cuts(SPEC)[0]


def frame_for(exchange, direction, spec=SPEC, cut=CUT, batch=3):
    return tuple(torch.zeros(batch, *kind.shape(spec, cut)) for kind in exchange.kinds(direction))


def check(frame, exchange=DISCRIMINATE, direction="up", spec=SPEC, cut=CUT):
    check_frame(frame, exchange, direction, client=7, spec=spec, cut=cut, dtype=torch.float32)


@given(
    st.sampled_from(sorted(SPECS)),
    st.sampled_from(EXCHANGES),
    st.sampled_from(["up", "down"]),
    st.integers(1, 5),
    st.data(),
)
def test_what_the_exchange_calls_for_is_accepted(name, exchange, direction, batch, data):
    spec = SPECS[name]
    cut = data.draw(st.sampled_from(legal_cuts(spec)))
    check(frame_for(exchange, direction, spec, cut, batch), exchange, direction, spec, cut)


def test_shapes_are_those_at_the_edges_of_the_cut():
    """With the lightest cut, block 1's output leaves the head, and block 5's input enters the tail."""
    edges = {(kind.network, kind.edge): kind for exchange in EXCHANGES for kind in exchange.up}
    for network in NETWORKS:
        assert edges[network, "head"].shape(SPEC, CUT) == SPEC.shapes(network)[1]
        assert edges[network, "tail"].shape(SPEC, CUT) == SPEC.shapes(network)[4]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_gradient_has_the_shape_of_what_it_is_the_gradient_of(exchange):
    for kind in exchange.up + exchange.down:
        named = [
            other
            for earlier in EXCHANGES
            for other in earlier.up + earlier.down
            if kind.name == f"gradient of {other.name}"
        ]
        assert bool(named) == kind.name.startswith("gradient of ")
        assert {other.shape(SPEC, CUT) for other in named} <= {kind.shape(SPEC, CUT)}


@pytest.mark.parametrize(
    ("number", "moderate"),
    [
        (1.0, True),
        (4095.0, True),
        (4097.0, False),
        (-1e30, False),
        (float("nan"), False),
        (float("-inf"), False),
    ],
)
def test_numbers_that_could_do_harm_are_not_moderate(number, moderate):
    harmless = (torch.zeros(3),)
    frames = {4: harmless, 7: (torch.zeros(3), torch.full((2, 5), number)), 8: harmless}
    assert immoderate(frames) == ([] if moderate else [7])


def test_a_few_large_numbers_among_many_are_moderate():
    assert immoderate({0: (torch.cat([torch.zeros(999), torch.full((1,), 1e5)]),)}) == []


def test_a_batch_that_is_known_already_must_be_the_same():
    frame = frame_for(CRITICISE, "up")
    check_frame(frame, CRITICISE, "up", client=7, spec=SPEC, cut=CUT, dtype=torch.float32, batch=3)
    with pytest.raises(FrameError, match=r"shape \(3, 2, 14, 14\), expected \(4, 2, 14, 14\)"):
        check_frame(frame, CRITICISE, "up", client=7, spec=SPEC, cut=CUT, dtype=torch.float32, batch=4)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=9))
def test_frames_are_finite_if_all_their_numbers_are(numbers):
    tensor = torch.tensor(numbers)
    # Beyond this the sum could be infinite though no number is: a gradient of 1e37 is lost as well.
    assume(not (tensor.isfinite().all() and tensor.abs().max() > 1e37))
    frames = {0: (torch.zeros(2),), 1: (torch.zeros(2), tensor)}
    assert all_finite(frames) == bool(tensor.isfinite().all())


def test_where_nobody_sends_anything_all_is_well():
    assert immoderate({}) == []
    assert all_finite({})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ((), "0 tensors, expected 2"),
        (frame_for(DISCRIMINATE, "up")[:1], "1 tensors, expected 2"),
        (frame_for(DISCRIMINATE, "up") * 2, "4 tensors, expected 2"),
        (frame_for(DISCRIMINATE, "up", batch=0), r"fake head output up: shape \(0, 2, 14, 14\)"),
        ((torch.zeros(()), torch.zeros(())), r"fake head output up: shape \(\), expected \(0, 2, 14, 14\)"),
        (
            (torch.zeros(3, 2, 14, 14), torch.zeros(2, 2, 14, 14)),
            r"real head output up: shape \(2, 2, 14, 14\)",
        ),
        ((torch.zeros(3, 1, 14, 14), torch.zeros(3, 2, 14, 14)), r"shape \(3, 1, 14, 14\), expected \(3, 2"),
        ((torch.zeros(3, 392), torch.zeros(3, 392)), r"shape \(3, 392\)"),
        (
            (torch.zeros(3, 2, 14, 14, dtype=torch.int64),) * 2,
            "fake head output up: torch.int64, expected torch.float32",
        ),
        ((torch.zeros(3, 2, 14, 14, dtype=torch.bfloat16),) * 2, "torch.bfloat16, expected torch.float32"),
    ],
)
def test_anything_else_is_refused_with_client_and_kind(frame, message):
    with pytest.raises(FrameError, match=f"client 7, .*{message}"):
        check(frame)
