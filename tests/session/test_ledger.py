import torch
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.session import Ledger, WireType
from huscf_flwr.split import DISCRIMINATE, GENERATE

entries = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["up", "down"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 99),
    )
)


def filled(records):
    ledger = Ledger()
    for record in records:
        ledger.record(*record)
    return ledger


@given(entries)
def test_totals_are_sums_over_what_matches(records):
    ledger = filled(records)
    assert ledger.total() == sum(count for *_, count in records)
    for client in range(4):
        for direction in ("up", "down"):
            assert ledger.total(client=client, direction=direction) == sum(
                count for who, way, _, count in records if (who, way) == (client, direction)
            )
    for direction in ("up", "down"):
        kinds, clients = ledger.by_kind(direction), ledger.by_client(direction)
        assert sum(kinds.values()) == sum(clients.values()) == ledger.total(direction=direction)
        for kind, count in kinds.items():
            assert count == ledger.total(kind=kind, direction=direction)
        for client, count in clients.items():
            assert count == ledger.total(client=client, direction=direction)


def test_a_frame_counts_the_bytes_of_each_of_its_tensors():
    """2 x 3 numbers of 8 bytes, and 4 of 2 bytes."""
    ledger = Ledger()
    frame = (torch.zeros(2, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.bfloat16))
    ledger.record_frame(5, DISCRIMINATE, "up", frame)
    ledger.record_frame(5, DISCRIMINATE, "up", frame)
    assert ledger.entries == {(5, "up", "fake head output"): 96, (5, "up", "real head output"): 16}


def test_a_frame_counts_what_its_numbers_take_on_the_wire():
    ledger = Ledger()
    wire = WireType(torch.float16, torch.float64)
    ledger.record_frame(5, GENERATE, "down", (torch.zeros(2, 3, dtype=torch.float64),), wire)
    assert ledger.entries == {(5, "down", "generator tail input"): 12}
