"""A whole method that is not ours: two exchanges, an empty upload, integers down and up.

Executor and clients of a step are those of tests/session; here is what makes a method of them. Name it as
``tests.methods.two_exchanges:TwoExchanges``.
"""

import torch

from huscf_flwr.config import MethodSettings
from huscf_flwr.methods.contract import (
    Crossing,
    Facts,
    LockStepClient,
    Method,
    Order,
    Orders,
    Outcome,
    Product,
    State,
    Upload,
)
from huscf_flwr.models import model_spec_of
from huscf_flwr.process import dtype_of
from huscf_flwr.session import TensorHeader
from tests.session.two_exchanges import CLASSES, DRAW, JUDGE, WIDTH, Critic, Painter

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Settings(MethodSettings):
    section = "two_exchanges"

    steps: int = 3


class Told(Facts):
    round: int


class Seen(Facts):
    steps: int


def moments_of(optimiser, parameters):
    """The optimiser's state, by name of parameter and moment."""
    return {
        f"{name}.{moment}": optimiser.state[parameter][moment]
        for name, parameter in parameters.items()
        if parameter in optimiser.state
        for moment in MOMENTS
    }


def load_moments(optimiser, parameters, tensors):
    optimiser.state.clear()
    for name, parameter in parameters.items():
        if f"{name}.step" in tensors:
            optimiser.state[parameter] = {m: tensors[f"{name}.{m}"].clone() for m in MOMENTS}


class TwoExchangesClient(LockStepClient):
    losses = ("fit", "own")

    def __init__(self, client, images, device, config):
        super().__init__(client, images, device, config)
        self.critic = Critic(client, seed=config.seed, dtype=dtype_of(config))
        self.seen = 0

    @property
    def device(self):
        return self.critic.device

    def begin(self, number, order):
        assert order.facts.round == number
        self.seen = 0
        with torch.no_grad():
            self.critic.weights.copy_(order.tensors["critic"]["weights"])

    def step(self):
        self.seen += 1
        return self.critic.step()

    def upload(self):
        weights = self.critic.weights.detach()
        tensors = {"critic": {"weights": weights, "labels": self.critic.labels.bincount(minlength=CLASSES)}}
        return Upload(facts=Seen(steps=self.seen), tensors=tensors)

    def private(self):
        return moments_of(self.critic.optimiser, {"weights": self.critic.weights})

    def load_private(self, tensors):
        load_moments(self.critic.optimiser, {"weights": self.critic.weights}, tensors)


class TwoExchanges(Method):
    name = "two_exchanges"
    Settings = Settings
    client = TwoExchangesClient
    crossing = Crossing(
        order=Told,
        order_kinds=("critic",),
        upload=Seen,
        upload_kinds=("critic",),
        exchanges=(DRAW, JUDGE),
        product_kind="colours",
    )

    def __init__(self, config, clients):
        super().__init__(config, clients)
        sizes = {client: client + 2 for client in self.clients}
        self.painter = Painter(sizes, seed=config.seed, dtype=dtype_of(config))
        self.parameters = {"colours": self.painter.colours, "brush": self.painter.brush}
        self.weights = torch.zeros(WIDTH, CLASSES, dtype=dtype_of(config))

    @classmethod
    def sampler(cls, config, product):
        shape = model_spec_of(config).image.shape

        def sample(labels, stream):
            noise = torch.randn(len(labels), *shape, generator=stream)
            shades = product["colours"].mean(1)[labels % CLASSES].float()
            return (shades[:, None, None, None] + noise).tanh()

        return sample

    def steps(self, number, clients):
        return self.config.settings(Settings).steps

    def orders(self, number, clients):
        facts = Told(round=number)
        return Orders(
            clients={client: Order(facts=facts, groups=("all",)) for client in clients},
            groups={"all": {"critic": {"weights": self.weights}}},
        )

    def executor(self, number, clients):
        return self.painter

    def form(self, client):
        weights = TensorHeader(self.weights.dtype, (WIDTH, CLASSES))
        return {"critic": {"weights": weights, "labels": TensorHeader(torch.int64, (CLASSES,))}}

    def close_round(self, number, collected):
        sent = [upload.tensors["critic"]["weights"] for upload in collected.uploads.values()]
        self.weights = torch.stack(sent).mean(0)
        seen = {client: {"seen": upload.facts.steps} for client, upload in collected.uploads.items()}
        return Outcome(facts={"votes": self.painter.votes.tolist()}, clients=seen, notes=("voted",))

    def products(self):
        return [Product("drawing", tuple(self.clients), {"colours": self.painter.colours.detach().clone()})]

    def state(self):
        own = {name: parameter.detach() for name, parameter in self.parameters.items()}
        moments = moments_of(self.painter.optimiser, self.parameters)
        return State({}, {**own, **moments, "votes": self.painter.votes, "weights": self.weights})

    def load(self, state):
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state.tensors[name])
        load_moments(self.painter.optimiser, self.parameters, state.tensors)
        self.painter.votes = state.tensors["votes"].clone()
        self.weights = state.tensors["weights"].clone()
