"""Architectures for the tests of the networks."""

from huscf_flwr.conf_files import known_confs
from huscf_flwr.models import load_model_spec
from tests.split.builders import three_block_spec

NAMES = known_confs("models")


def architectures():
    """All networks in conf/models, narrow, and the smallest possible one."""
    return [*(load_model_spec(name, width=0.03) for name in NAMES), three_block_spec()]
