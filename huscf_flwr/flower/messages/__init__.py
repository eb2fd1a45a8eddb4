"""The control plane's messages: every record that Flower carries for us, written and read in one place.

The envelope is the run's: who takes part, which round and attempt it is, where the executor listens, what
clients keep for themselves, and, from the clients, mean losses and how long they computed and exchanged
frames. What is in it is the method's: descriptions, orders, uploads, products and scores, of which nothing
crosses, in either direction, that ``Method.crossing`` does not list. Labels, label counts, names of domains
or partitions and images have no place in the envelope.
"""

from huscf_flwr.flower.messages.joining import (
    DESCRIBE,
    JOIN,
    PROTOCOL,
    Arrival,
    DescribeReply,
    DescribeRequest,
    Invitation,
)
from huscf_flwr.flower.messages.judging import EVALUATE, EvaluateReply, EvaluateRequest
from huscf_flwr.flower.messages.training import TRAIN, Stream, TrainReply, TrainRequest, claim_of

__all__ = [
    "DESCRIBE",
    "EVALUATE",
    "JOIN",
    "PROTOCOL",
    "TRAIN",
    "Arrival",
    "DescribeReply",
    "DescribeRequest",
    "EvaluateReply",
    "EvaluateRequest",
    "Invitation",
    "Stream",
    "TrainReply",
    "TrainRequest",
    "claim_of",
]
