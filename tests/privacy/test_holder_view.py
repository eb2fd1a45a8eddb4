"""Who holds a generator has that, and nothing else of a run."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch

from huscf_flwr.methods import resolved
from huscf_flwr.methods.contract import State
from huscf_flwr.models import unflatten_blocks
from huscf_flwr.privacy.evidence import Caught, Evidence
from huscf_flwr.privacy.membership import view_of_holder
from huscf_flwr.run.check import check_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.seeding import torch_stream
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, small_run, write_domains


@pytest.fixture(scope="module", params=["huscf", "fedgan", "mdgan"])
def evidence(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("held")
    images = write_domains(folder / "images")
    checked = check_run(resolved(small_run(images, folder, **{**METHODS[request.param], **UNJUDGED})))
    caught = Caught(checked.method)
    train_locally(checked, display=SilentDisplay(), make_method=caught, judged=False)
    return Evidence(checked.config, caught.made, State({}, {}), ())


def test_a_holder_has_a_generator_and_no_discriminator(evidence):
    view = view_of_holder(evidence, client=0)
    assert {each.name for each in fields(view)} == {"tensors", "sampler"}
    assert {network for network, _ in unflatten_blocks(view.tensors)} == {"generator"}


def test_what_it_draws_is_what_the_product_of_the_client_draws(evidence):
    method, labels = evidence.method, torch.tensor([0, 1, 1])
    (product,) = [each for each in method.products() if 0 in each.clients]
    draw = type(method).sampler(evidence.config, product.tensors)
    held = view_of_holder(evidence, client=0).sampler
    assert torch.equal(held(labels, torch_stream(3, "drawn")), draw(labels, torch_stream(3, "drawn")))


def test_a_client_without_a_generator_has_nobody_who_holds_it(evidence):
    of_none = SimpleNamespace(judged_for=lambda _: None)
    assert view_of_holder(replace(evidence, method=of_none), client=0) is None
