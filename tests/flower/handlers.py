"""Asks the ClientApp's handlers, without a SuperLink and a SuperNode."""

from dataclasses import replace

from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client_apps import app
from huscf_flwr import methods
from huscf_flwr.config import to_run_config
from huscf_flwr.flower.messages import (
    EVALUATE,
    TRAIN,
    EvaluateReply,
    Stream,
    TrainReply,
    TrainRequest,
    claim_of,
)
from huscf_flwr.methods.contract import Order, Orders
from huscf_flwr.models import Cut, model_spec_of, smallest_cut
from huscf_flwr.run.host import EvaluationOrder
from huscf_flwr.run.rounds import Rounds
from huscf_flwr.session import LockStep
from tests.run.builders import method_of

CUT = Cut(1, 1, 1, 1)


def context(config, run_id=7, **node_config):
    named = {key.replace("_", "-"): value for key, value in node_config.items()}
    return Context(run_id, 42, named, RecordDict(), to_run_config(config))


def ask(records, message_type, where):
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, 7, 1
    message = Message(records, dst_node_id=42, message_type=message_type)
    return app(message, where).content


class Service:
    """The server's rounds, with one host, node 42."""

    def __init__(self, config, server, samples):
        self.server = server
        self.method = methods.method_of(config)
        local = config.privacy.local_discriminator
        cut = smallest_cut(model_spec_of(config), local_discriminator=local)
        self.rounds = Rounds(config, method_of(config, samples=samples, cuts=dict.fromkeys(samples, cut)))

    @property
    def session(self):
        return self.rounds.opened.session

    def request(self, run_id=7, neighbours=1, **changes):
        """Open the next round; return the message for its host."""
        opened = self.rounds.open([sorted(self.rounds.method.clients)])
        assignment = opened.assignment(0)
        stream = None
        if isinstance(opened.session, LockStep):
            (token,) = self.server.open_session(opened.session, [claim_of(assignment, run_id, 42)])
            stream = Stream(
                address=self.server.address,
                token=token,
                answer_seconds=30.0,
                preset=self.rounds.config.wire.chosen,
            )
        request = TrainRequest(replace(assignment, **changes), neighbours, stream)
        return request.to_records(self.method)

    def ask(self, request, where):
        return TrainReply.from_records(ask(request, TRAIN, where), self.method)


def trained(service, where, **changes):
    """Losses of a round, and what the clients kept."""
    reply = service.ask(service.request(where.run_id, **changes), where)
    losses = {client: upload.losses for client, upload in reply.uploads.items()}
    return losses, {client: upload.kept for client, upload in reply.uploads.items()}


def evaluation_of(*clients, kept=()):
    orders = Orders(clients={client: Order() for client in clients})
    return EvaluationOrder(round=1, training="0" * 32, orders=orders, kept=dict(kept), thoroughly=True)


def answered(config, where, request):
    method = methods.method_of(config)
    return EvaluateReply.from_records(ask(request.to_records(method), EVALUATE, where), method)
