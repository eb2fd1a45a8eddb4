import pytest
from flwr.app import ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from huscf_flwr.cuts import load_devices
from huscf_flwr.flower.messages import Arrival, DescribeReply, DescribeRequest, Invitation
from huscf_flwr.methods.contract import CrossingError, Description
from tests.flower.in_process_grid import crossed
from tests.flower.messages.methods import BARE, LISTING, Age

DEVICES = [*load_devices("paper").devices, *load_devices("real").devices]

clients = st.integers(0, 2**31)
texts = st.text(max_size=20)


@given(st.integers(0, 99), st.none() | texts, st.none() | texts)
def test_invitation(protocol, address, token):
    message = Invitation(protocol=protocol, address=address, token=token)
    assert Invitation.from_records(crossed(message.to_records())) == message


@given(st.booleans(), st.none() | clients)
def test_arrival(admitted, client):
    message = Arrival(admitted=admitted, client=client)
    assert Arrival.from_records(crossed(message.to_records())) == message


@given(st.lists(clients).map(tuple))
def test_describe_request(ids):
    message = DescribeRequest(clients=ids)
    assert DescribeRequest.from_records(crossed(message.to_records())) == message


@given(
    st.dictionaries(
        clients,
        st.builds(
            Age, samples=st.integers(1, 10**6), device=st.sampled_from(DEVICES), years=st.integers(0, 99)
        ),
    )
)
def test_describe_reply(described):
    records = crossed(DescribeReply(described).to_records(LISTING))
    assert DescribeReply.from_records(records, LISTING).clients == described


def test_a_description_that_the_method_does_not_list_is_refused_on_both_sides():
    older = DescribeReply({3: Age(samples=4, device=DEVICES[0], years=5)})
    with pytest.raises(CrossingError, match="of client 3 has facts Age, the method lists Descr"):
        older.to_records(BARE)
    with pytest.raises(CrossingError, match=r"description/3 is no Description: years: Extra inputs"):
        DescribeReply.from_records(older.to_records(LISTING), BARE)
    plain = DescribeReply({3: Description(samples=4, device=DEVICES[0])})
    with pytest.raises(CrossingError, match="has facts Description, the method lists Age"):
        plain.to_records(LISTING)
    with pytest.raises(CrossingError, match="years: Field required"):
        DescribeReply.from_records(plain.to_records(BARE), LISTING)


@pytest.mark.parametrize("key", ["labels", "device.place", "domain"])
def test_a_key_that_nobody_lists_is_refused(key):
    records = DescribeReply({3: Description(samples=4, device=DEVICES[0])}).to_records(BARE)
    records["description/3"][key] = "kitchen"
    with pytest.raises(CrossingError, match=f"{key}: Extra inputs are not permitted"):
        DescribeReply.from_records(records, BARE)


@pytest.mark.parametrize(
    ("key", "value"),
    [("samples", "4"), ("samples", 4.0), ("device.gflops", "1"), ("device.gflops", True), ("device.name", 7)],
)
def test_a_device_of_other_types_is_refused(key, value):
    records = DescribeReply({3: Description(samples=4, device=DEVICES[0])}).to_records(BARE)
    records["description/3"][key] = value
    refused = f"description/3 is no Description: {key}: (Input should be a valid|a number is wanted)"
    with pytest.raises(CrossingError, match=refused):
        DescribeReply.from_records(records, BARE)


@pytest.mark.parametrize("message", [Invitation(), Arrival(admitted=True), DescribeRequest(clients=())])
def test_a_record_that_nobody_lists_is_refused(message):
    records = RecordDict({**message.to_records(), "domain": ConfigRecord({"name": "mnist"})})
    with pytest.raises(CrossingError, match=r"a message with \['domain'\], which are not listed"):
        type(message).from_records(records)
