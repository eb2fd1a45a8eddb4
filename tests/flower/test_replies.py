import pytest
from flwr.app import Array, ArrayRecord, Error, Message
from flwr.supercore.task_identity import TaskIdentity

from huscf_flwr.flower.messages import DESCRIBE, Arrival, DescribeRequest, EvaluateRequest
from huscf_flwr.flower.replies import answers, check_clients, read_reply
from huscf_flwr.methods.contract import Orders
from huscf_flwr.run.host import EvaluationOrder
from tests.flower.messages.methods import LISTING


def test_a_failure_that_the_superlink_reports_is_no_supernodes_own(caplog):
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, 7, 1
    sent = Message(DescribeRequest(clients=(0,)).to_records(), dst_node_id=21, message_type=DESCRIBE)
    reply = Message(Error(3, "Node Unavailable"), reply_to=sent)
    assert answers([reply]) == {}
    assert "SuperNode 21 failed: Node Unavailable" in caplog.text
    reply.metadata.__dict__["_src_node_id"] = reply.metadata.dst_node_id
    assert answers([reply]) == {}
    assert "A SuperNode failed: Node Unavailable" in caplog.text


def test_a_reply_is_read_as_it_was_sent():
    reply = Arrival(admitted=True, client=3)
    assert read_reply(Arrival.from_records, reply.to_records()) == reply


NOBODY = EvaluationOrder(round=1, training="0" * 32, orders=Orders(clients={}), kept={}, thoroughly=True)


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"\x80\x04pickle", b"\x93NUMPY\x01\x00\x08\x00{'descr:"]
)
def test_bytes_that_are_no_array_cannot_be_read(data):
    records = EvaluateRequest(NOBODY, 1, 0).to_records(LISTING)
    records["product/model"] = ArrayRecord({"main.weight": Array("float32", (1,), "numpy.ndarray", data)})
    with pytest.raises(ValueError, match="a reply that cannot be read"):
        read_reply(lambda each: EvaluateRequest.from_records(each, LISTING), records)


@pytest.mark.parametrize("told", [[], [1], [1, 2, 3]])
def test_a_supernode_speaks_for_its_clients_and_no_others(told):
    check_clients([2, 1], (1, 2))
    with pytest.raises(ValueError, match=r"not \[1, 2\]"):
        check_clients(told, (1, 2))
