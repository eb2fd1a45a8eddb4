import pytest

from huscf_flwr.config import RunConfig
from huscf_flwr.methods import method_of, resolved


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"method": "huscf"}, (0.25,)),
        ({"method": "mdgan"}, (0.25,)),
        ({"method": "local"}, (0.25,)),
        ({"method": "local", "local": {"task": "classifier"}}, (0.125,)),
        ({"method": "fedproto"}, (0.125,)),
        ({"method": "gefl"}, (0.125, 0.25)),
        ({"method": "fedvtc", "fedvtc": {"decoder_learning_rate": 0.5}}, (0.125, 0.5)),
    ],
)
def test_they_are_those_of_what_clients_train(settings, rates):
    given = {"rounds": 2, "optimiser": {"learning_rate": 0.25}, "classifier": {"learning_rate": 0.125}}
    config = resolved(RunConfig(**given, **settings))
    assert method_of(config).learning_rates(config) == rates
