"""What a private client computes in a step, in hand figures, and that cuts and prices know it."""

import pytest

from huscf_flwr.cuts import DiscriminatorWork, load_devices
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.huscf.cut_choice import cut_problem, declared
from huscf_flwr.methods.huscf.private_work import discriminator_work, per_sample_factor
from huscf_flwr.models import load_model_spec, model_spec_of
from tests.run.builders import METHODS, small_run


def _config(place, name="huscf-private", **settings):
    return resolved(small_run(place, place, **{**METHODS[name], "model.width": 0.03, **settings}))


def _work(config):
    return discriminator_work(config, model_spec_of(config))


def test_without_epsilon_a_step_is_what_it_was(tmp_path):
    assert _work(_config(tmp_path, "huscf-local-discriminator")) == DiscriminatorWork()


def test_steps_of_the_discriminator_and_the_size_of_a_sample_multiply_the_work(tmp_path):
    """Batches of 8 fakes and samples of 24 images: three steps, each 1 pass and 3 slow ones."""
    config = _config(tmp_path, **{"privacy.discriminator_steps": 3, "privacy.sample": 24})
    assert config.batch_size == 8
    factor = per_sample_factor(model_spec_of(config))
    assert _work(config) == DiscriminatorWork(
        learning=3 * (1 + 3 * factor), criticising=1, waiting=64 / 8, kept_gradients=64
    )


@pytest.mark.parametrize(("width", "measured"), [(0.25, 3.5), (1.0, 8.4)])
def test_gradients_of_single_images_take_as_long_as_measured(width, measured):
    spec = load_model_spec("authors-28", width).with_group_normalisation("discriminator")
    assert per_sample_factor(spec) == pytest.approx(measured, rel=0.05)


def test_an_embedding_costs_its_products_and_no_pass_of_the_discriminator(tmp_path):
    """8 fakes of 784 numbers with 20 directions, two operations each, forward and back."""
    work = _work(_config(tmp_path, "huscf-embedding"))
    assert (work.learning, work.criticising, work.waiting) == (0, 0, 0)
    assert work.beside_gflop == pytest.approx(8 * 784 * 20 * 2 * 2 / 1e9)


def test_cuts_and_prices_are_of_that_work(tmp_path):
    usual, slow = (_config(tmp_path, **{"privacy.discriminator_steps": steps}) for steps in (1, 9))
    problems = []
    for config in (usual, slow):
        devices = {0: load_devices(config.cuts.devices).devices[0]}
        problems.append(cut_problem(config, model_spec_of(config), declared(config, devices)))
    assert [each.work for each in problems] == [_work(usual), _work(slow)]
    prices = [
        method_of(config).price(config, problem)
        for config, problem in zip((usual, slow), problems[:1] * 2, strict=True)
    ]
    passes = problems[1].costs.discriminator.total_gflop() - problems[0].costs.discriminator.total_gflop()
    assert prices[1].client_gflop - prices[0].client_gflop == pytest.approx(passes)
