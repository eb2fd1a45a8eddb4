import pytest

from huscf_flwr.run.placement import spread


def test_clients_are_dealt_in_turn():
    assert spread([0, 1, 2, 3, 4], 2) == [(0, 2, 4), (1, 3)]
    assert spread([3, 5], 2) == [(3,), (5,)]
    with pytest.raises(ValueError, match="clients: 1 clients for 2 hosts; take more clients or fewer hosts"):
        spread([3], 2)
