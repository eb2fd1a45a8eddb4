"""With `privacy.count_step` the number of a client's images is told, and shows in networks, only rounded."""

import pytest

from huscf_flwr.config import load_config
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import flatten_blocks
from tests.run.builders import DEVICE, images_to_train_on, small_run


def client_of(place, method, count, step):
    config = small_run(place, place, method=method, **{"model.width": 0.03, "privacy.count_step": step})
    kind = method_of(resolved(config))
    return kind.client(0, images_to_train_on(kind, 0, count), DEVICE, resolved(config))


@pytest.mark.parametrize(
    ("count", "step", "told"), [(9, 1, 9), (9, 4, 8), (10, 4, 12), (11, 4, 12), (4, 10, 10), (15, 10, 20)]
)
def test_the_nearest_multiple_is_told_and_at_least_one(tmp_path, count, step, told):
    assert client_of(tmp_path, "fedgan", count, step).describe().samples == told


@pytest.mark.parametrize(("method", "step", "batches"), [("fedgan", 32, 4), ("hflgan", 16, 2)])
def test_networks_that_are_sent_have_seen_as_many_batches_as_the_told_number_has(
    tmp_path, method, step, batches
):
    """13 and 19 images, 8 a batch: with a step of 32 both go on into their next passes."""
    seen = set()
    for count in (13, 19):
        client = client_of(tmp_path, method, count, step)
        client.begin(1, Order(tensors={NETWORKS: flatten_blocks(client.networks.states())}))
        assert len(list(client.train())) == batches
        sent = client.upload().tensors[NETWORKS]
        seen.add(tuple(int(sent[name]) for name in sorted(sent) if name.endswith("num_batches_tracked")))
    assert len(seen) == 1


@pytest.mark.parametrize("method", ["huscf", "mdgan", "uagan", "fedgen", "local", "huscf-private"])
def test_methods_by_which_the_number_is_told_otherwise_refuse_it(method):
    private = ["privacy.local_discriminator=true", "fake_labels=uniform", "privacy.epsilon=1"]
    name, *more = ["huscf", *private] if method == "huscf-private" else [method]
    config = resolved(load_config("demo", [f"method={name}", "privacy.count_step=8", *more]))
    with pytest.raises(
        ValueError, match=r"privacy.count_step is 8, .*take a method that does: fedgan, hflgan$"
    ):
        method_of(config)
