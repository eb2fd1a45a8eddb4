"""What methods share that keep the generator on the server and a discriminator on every client."""

from huscf_flwr.methods.server_generator.client import CriticClient, DiscriminatorClient
from huscf_flwr.methods.server_generator.exchanges import (
    FAKE_LABELS,
    FAKES,
    FAKES_SHOW,
    GRADIENT,
    JUDGED_FAKES,
    JUDGED_LABELS,
    Fakes,
)
from huscf_flwr.methods.server_generator.executor import GeneratorExecutor, summed
from huscf_flwr.methods.server_generator.generator import ServerGenerator
from huscf_flwr.methods.server_generator.method import ServerGeneratorMethod

__all__ = [
    "FAKES",
    "FAKES_SHOW",
    "FAKE_LABELS",
    "GRADIENT",
    "JUDGED_FAKES",
    "JUDGED_LABELS",
    "CriticClient",
    "DiscriminatorClient",
    "Fakes",
    "GeneratorExecutor",
    "ServerGenerator",
    "ServerGeneratorMethod",
    "summed",
]
