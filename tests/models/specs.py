"""Architectures that the tests of the networks go through."""

from huscf_flwr.conf_files import known_confs
from huscf_flwr.models import load_model_spec
from tests.split.builders import three_block_spec

NAMES = known_confs("models")


def architectures():
    """Every network that we ship, narrow, and the smallest that there can be."""
    return [*(load_model_spec(name, width=0.03) for name in NAMES), three_block_spec()]
