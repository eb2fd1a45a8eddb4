import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from huscf_flwr.models import NETWORKS, legal_cuts
from huscf_flwr.session import Exchange, FrameError
from huscf_flwr.session.exchange import Kind, all_finite, check_frame, check_listed, clients_out_of_bounds
from huscf_flwr.split import CRITICISE, DISCRIMINATE, EXCHANGES, GENERATE
from huscf_flwr.split.exchanges import place_of, shape_of
from tests.models.specs import small_specs

SPECS = small_specs()
SPEC = SPECS["authors-28"]
CUT = legal_cuts(SPEC)[0]


class Shapes:
    """What a frame is checked with: an executor that only knows shapes."""

    def __init__(self, spec, cut):
        self._spec, self._cut = spec, cut

    def shape(self, kind, client):
        return shape_of(kind, self._spec, self._cut)


def frame_for(exchange, direction, spec=SPEC, cut=CUT, batch=3):
    return tuple(torch.zeros(batch, *shape_of(kind, spec, cut)) for kind in exchange.kinds(direction))


def check(frame, exchange=DISCRIMINATE, direction="up", spec=SPEC, cut=CUT):
    check_frame(frame, exchange, direction, Shapes(spec, cut), client=7, dtype=torch.float32)


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
    edges = {place_of(kind): kind for exchange in EXCHANGES for kind in exchange.up}
    for network in NETWORKS:
        assert shape_of(edges[network, "head"], SPEC, CUT) == SPEC.shapes(network)[1]
        assert shape_of(edges[network, "tail"], SPEC, CUT) == SPEC.shapes(network)[4]


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
        assert {shape_of(other, SPEC, CUT) for other in named} <= {shape_of(kind, SPEC, CUT)}


@pytest.mark.parametrize(
    ("number", "harmless"),
    [
        (1.0, True),
        (4095.0, True),
        (4097.0, False),
        (-1e30, False),
        (float("nan"), False),
        (float("-inf"), False),
    ],
)
def test_numbers_that_could_do_harm_are_found(number, harmless):
    other = (torch.zeros(3),)
    frames = {4: other, 7: (torch.zeros(3), torch.full((2, 5), number)), 8: other}
    assert clients_out_of_bounds(frames, DISCRIMINATE) == ([] if harmless else [7])


def test_a_few_large_numbers_among_many_do_no_harm():
    assert clients_out_of_bounds({0: (torch.cat([torch.zeros(999), torch.full((1,), 1e5)]),)}, GENERATE) == []


def test_a_batch_that_is_known_already_must_be_the_same():
    frame = frame_for(CRITICISE, "up")
    check_frame(frame, CRITICISE, "up", Shapes(SPEC, CUT), client=7, dtype=torch.float32, batch=3)
    with pytest.raises(FrameError, match=r"shape \(3, 2, 14, 14\), expected \(4, 2, 14, 14\)"):
        check_frame(frame, CRITICISE, "up", Shapes(SPEC, CUT), client=7, dtype=torch.float32, batch=4)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=9))
def test_frames_are_finite_if_all_their_numbers_are(numbers):
    tensor = torch.tensor(numbers)
    # Beyond this the sum could be infinite though no number is: a gradient of 1e37 is lost as well.
    assume(not (tensor.isfinite().all() and tensor.abs().max() > 1e37))
    frames = {0: (torch.zeros(2),), 1: (torch.zeros(2), tensor)}
    assert all_finite(frames) == bool(tensor.isfinite().all())


def test_where_nobody_sends_anything_all_is_well():
    assert clients_out_of_bounds({}, GENERATE) == []
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


LABELLED = Exchange(1, "LABEL", up=(Kind("logits"), Kind("labels", torch.int64, below=10)), down=())
LOGITS = torch.zeros(2, 3)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 11), max_size=5))
def test_integers_are_in_range_if_all_of_them_are(labels):
    frames = {3: (LOGITS, torch.tensor(labels, dtype=torch.int64)), 4: (LOGITS, torch.arange(10))}
    expected = [] if all(0 <= label < 10 for label in labels) else [3]
    assert clients_out_of_bounds(frames, LABELLED) == expected
    assert all_finite(frames)


def test_integers_without_a_range_may_be_any():
    exchange = Exchange(1, "LABEL", up=(Kind("labels", torch.int64),), down=())
    assert clients_out_of_bounds({0: (torch.tensor([-(2**63), 2**63 - 1]),)}, exchange) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ((LOGITS,), "client 7, LABEL up: 1 tensors, expected 2"),
        ((LOGITS, LOGITS), "client 7, labels up: torch.float32, expected torch.int64"),
        ((LOGITS.long(), LOGITS.long()), "client 7, logits up: torch.int64, expected floating-point numbers"),
        ((LOGITS, LOGITS.int()), "client 7, labels up: torch.int32, expected torch.int64"),
    ],
)
def test_a_host_refuses_what_an_exchange_does_not_list(frame, message):
    with pytest.raises(FrameError, match=message):
        check_listed(frame, LABELLED, "up", client=7)
    check_listed((LOGITS.double(), LOGITS.long()), LABELLED, "up", client=7)
    check_listed((), LABELLED, "down", client=7)


def test_a_frame_of_an_exchange_that_lists_nothing_is_empty():
    check_frame((), LABELLED, "down", Shapes(SPEC, CUT), client=7, dtype=torch.float32)
    with pytest.raises(FrameError, match="client 7, LABEL down: 1 tensors, expected 0"):
        check_frame((LOGITS,), LABELLED, "down", Shapes(SPEC, CUT), client=7, dtype=torch.float32)
