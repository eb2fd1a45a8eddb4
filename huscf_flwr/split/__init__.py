"""HuSCF-GAN's split networks: segments, both halves of the step, and what crosses in it."""

from huscf_flwr.split.batch import Batch
from huscf_flwr.split.client import HostedClient, SplitClient
from huscf_flwr.split.exchanges import (
    CRITICISE,
    CRITICISM_BACKWARD,
    DISCRIMINATE,
    DISCRIMINATOR_BACKWARD,
    EXCHANGES,
    GENERATE,
    GENERATOR_BACKWARD,
    LOCAL_EXCHANGES,
)
from huscf_flwr.split.executor import SHARED, Observer, SplitExecutor
from huscf_flwr.split.local_discriminator import Learn, Watch, adversarial_loss
from huscf_flwr.split.noise import noise_batch
from huscf_flwr.split.obfuscation import Obfuscation, obfuscation
from huscf_flwr.split.segments import AdamSettings, Segments, adam_settings
from huscf_flwr.split.tampering import TamperingDetector
from huscf_flwr.split.unsplit import unsplit_step

__all__ = [
    "CRITICISE",
    "CRITICISM_BACKWARD",
    "DISCRIMINATE",
    "DISCRIMINATOR_BACKWARD",
    "EXCHANGES",
    "GENERATE",
    "GENERATOR_BACKWARD",
    "LOCAL_EXCHANGES",
    "SHARED",
    "AdamSettings",
    "Batch",
    "HostedClient",
    "Learn",
    "Obfuscation",
    "Observer",
    "Segments",
    "SplitClient",
    "SplitExecutor",
    "TamperingDetector",
    "Watch",
    "adam_settings",
    "adversarial_loss",
    "noise_batch",
    "obfuscation",
    "unsplit_step",
]
