"""Differential privacy in HuSCF-GAN: what is refused, what is spent, and what noise is drawn."""

from __future__ import annotations

import pytest
import torch

from huscf_flwr.accounting import BudgetSpentError, Releases, epsilon_of
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Order
from huscf_flwr.methods.huscf.private_crossing import PrivateOrder
from huscf_flwr.models import Cut, model_spec_of, with_local_discriminator
from tests.run.builders import DEVICE, METHODS, images_of_client, small_run

_SETTINGS = METHODS["huscf-private"]
_DELTA = 1e-5


def _config(place, **settings):
    return resolved(small_run(place, place, **{**_SETTINGS, "model.width": 0.03, **settings}))


def _client(config, count=40, steps_left=12):
    client = method_of(config).client(3, images_of_client(3, count), DEVICE, config)
    _begin(client, config, 1, steps_left)
    return client


def _begin(client, config, number, steps_left):
    cut = with_local_discriminator(model_spec_of(config), Cut())
    client.begin(number, Order(facts=PrivateOrder(cut=tuple(cut), steps_left=steps_left)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"privacy.local_discriminator": False}, "local_discriminator is false.* set it to true"),
        ({"huscf.clusters": "found"}, "huscf.clusters is found.* set it to 1"),
        ({"huscf.weighting": "kld"}, "huscf.weighting is kld.* set it to samples"),
        ({"fake_labels": "real"}, "fake_labels is real.* set fake_labels to uniform"),
        ({"fake_labels": "own-mix"}, "fake_labels is own-mix.* the mix of a client's labels without noise"),
        ({"huscf.weights_from": "labels"}, "huscf.weights_from is labels"),
        ({"huscf.batches": "fresh-draw"}, "huscf.batches is fresh-draw.* set it to passes"),
        ({"compute.precision": "bfloat16"}, "compute.precision is bfloat16.* take float32"),
    ],
)
def test_what_would_cross_without_noise_is_refused(settings, message, tmp_path):
    config = _config(tmp_path, **settings)
    with pytest.raises(ValueError, match=message):
        method_of(config).check(config)


@pytest.mark.parametrize(
    "setting",
    [
        "privacy.clip=2",
        "privacy.delta=1e-6",
        "privacy.discriminator_steps=3",
        "privacy.sample=3",
        "privacy.critic=embedding",
        "privacy.features=40",
        "privacy.noise=seeded",
    ],
)
def test_without_an_epsilon_a_setting_of_its_own_is_refused(setting, tmp_path):
    key, _, value = setting.partition("=")
    with pytest.raises(ValueError, match=rf"{key} is .* does not honour it: .* set privacy\.epsilon too"):
        method_of(small_run(tmp_path, tmp_path, **{key: value}))


def test_noise_on_activations_that_do_not_cross_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"activation_noise is 1\.0, but .* nothing to add noise to"):
        method_of(_config(tmp_path, **{"privacy.activation_noise": 1.0}))


def test_the_discriminator_has_no_running_statistics_and_the_generator_still_has(tmp_path):
    spec = model_spec_of(_config(tmp_path))
    assert {block.norm for block in spec.discriminator.blocks} == {"group", "none"}
    assert "batch" in {block.norm for block in spec.generator.blocks}


def test_noise_lasts_for_all_steps_that_are_left_and_no_longer(tmp_path):
    config = _config(tmp_path, **{"privacy.epsilon": 3.0})
    client = _client(config)

    spent = list(client.charge(6, []))
    _begin(client, config, 2, 6)
    spent += client.charge(6, spent)

    assert spent == [Releases(8 / 40, spent[0].noise_multiplier, 6)] * 2
    assert 2.9 < epsilon_of(spent, _DELTA) <= 3.0
    assert client.upload().facts.epsilon == epsilon_of(spent, _DELTA)
    with pytest.raises(BudgetSpentError, match=r"of privacy\.epsilon 3 at delta 1e-05, .* is spent"):
        client.charge(1, spent)


def test_after_rounds_that_were_trained_twice_noise_is_chosen_again_for_what_is_left(tmp_path):
    config = _config(tmp_path, **{"privacy.epsilon": 3.0})
    client, spent = _client(config), []
    for number, left in ((1, 12), (2, 8), (2, 8), (3, 4)):
        _begin(client, config, number, left)
        spent += client.charge(4, spent)

    noises = [each.noise_multiplier for each in spent]
    assert noises[0] == noises[1] < noises[2] == noises[3]
    assert 2.9 < epsilon_of(spent, _DELTA) <= 3.0
    assert client.private()["privacy.noise_multiplier"] == noises[3]


def test_every_step_of_the_discriminator_counts(tmp_path):
    client = _client(_config(tmp_path, **{"privacy.discriminator_steps": 5}))
    (releases,) = client.charge(6, [])
    assert releases.steps == 30


def test_a_sample_has_as_many_images_as_it_says_and_not_as_a_batch_has_fakes(tmp_path):
    for sample, rate in ((20, 0.5), (100, 1.0)):
        client = _client(_config(tmp_path, **{"privacy.sample": sample}))
        (releases,) = client.charge(6, [])
        assert releases.sampling_rate == rate


@pytest.mark.parametrize(
    ("critic", "setting"),
    [
        ("embedding", "clip=2"),
        ("embedding", "discriminator_steps=3"),
        ("embedding", "sample=3"),
        ("discriminator", "features=40"),
    ],
)
def test_a_setting_of_the_other_critic_is_refused(critic, setting, tmp_path):
    key, _, value = f"privacy.{setting}".partition("=")
    with pytest.raises(ValueError, match=rf"{key} is .* does not honour it: .* privacy\.critic: "):
        method_of(_config(tmp_path, **{"privacy.critic": critic, key: value}))


def _embedding_client(tmp_path, **settings):
    return _client(_config(tmp_path, **{**METHODS["huscf-embedding"], **settings}))


def test_an_embedding_is_released_once_for_all_of_epsilon(tmp_path):
    client = _embedding_client(tmp_path)

    spent = list(client.charge(6, []))

    assert [(each.sampling_rate, each.steps) for each in spent] == [(1.0, 1)]
    assert 4.9 < epsilon_of(spent, _DELTA) <= 5.0
    assert client.upload().facts.epsilon == epsilon_of(spent, _DELTA)
    assert list(client.charge(6, spent)) == []
    again = _embedding_client(tmp_path)
    again.load_private(client.private())
    assert list(again.charge(6, spent)) == []
    assert again.upload().facts.epsilon == epsilon_of(spent, _DELTA)
    with pytest.raises(BudgetSpentError):
        _embedding_client(tmp_path).charge(6, spent)


def test_a_client_with_an_embedding_looks_at_its_images_no_more_and_leaves_its_discriminator(tmp_path):
    client = _embedding_client(tmp_path, **{"privacy.epsilon": 50.0})
    client.charge(6, [])
    client.images = None
    before = {name: each.clone() for name, each in client.split.segments.states()["discriminator", 0].items()}
    batch = client.next_batch()
    fakes = torch.zeros(len(batch.latents), 1, 28, 28, requires_grad=True)

    assert client.learn(client.split.segments.discriminator, fakes, batch) is None
    client.criticise(client.split.segments.discriminator, fakes, batch.fake_labels)

    assert fakes.grad is not None
    assert fakes.grad.any()
    for name, each in client.split.segments.states()["discriminator", 0].items():
        assert torch.equal(each, before[name])


def test_a_new_training_has_what_others_have_left_of_the_budget(tmp_path):
    config = _config(tmp_path, **{"privacy.epsilon": 3.0})
    before = list(_client(_config(tmp_path, **{"privacy.epsilon": 2.0})).charge(12, []))

    second = list(_client(config).charge(12, before))

    assert second[0].noise_multiplier > _client(config).charge(12, [])[0].noise_multiplier
    assert 2.9 < epsilon_of(before + second, _DELTA) <= 3.0
    with pytest.raises(BudgetSpentError, match="is spent"):
        _client(_config(tmp_path, **{"privacy.epsilon": 2.0})).charge(12, before + second)


def test_the_noise_stays_what_it_was_when_a_client_comes_back(tmp_path):
    config = _config(tmp_path)
    first = _client(config)
    (releases,) = first.charge(4, [])
    second = method_of(config).client(3, images_of_client(3, 40), DEVICE, config)
    second.load_private(first.private())
    _begin(second, config, 2, 8)
    assert second.charge(4, [releases]) == (releases,)


def test_a_server_that_names_too_few_steps_gets_no_more_than_they_spend(tmp_path):
    config = _config(tmp_path, **{"privacy.epsilon": 3.0})
    client = _client(config, steps_left=1)
    spent = list(client.charge(12, []))
    assert epsilon_of(spent, _DELTA) <= 3.0


def test_a_delta_that_would_allow_to_publish_an_image_is_refused(tmp_path):
    config = _config(tmp_path, **{"privacy.delta": 0.05})
    for ask in (lambda client: client.describe(), lambda client: client.charge(6, [])):
        with pytest.raises(ValueError, match=r"delta is 0\.05, but client 3 has 40 images.* than 0\.025"):
            ask(_client(config))


def test_two_clients_with_secret_noise_never_draw_the_same_and_with_seeded_noise_they_do(tmp_path):
    def state(noise):
        config = _config(tmp_path, **{"privacy.noise": noise})
        client = _client(config)
        client.charge(4, [])
        batch = client.next_batch()
        client.learn(client.split.segments.discriminator, batch.latents.new_zeros(8, 1, 28, 28), batch)
        return client.upload().tensors["segments"]["discriminator.4.main.weight"].clone()

    assert state("seeded").equal(state("seeded"))
    assert not state("secret").equal(state("secret"))


def test_a_client_that_was_not_charged_does_not_train(tmp_path):
    client = _client(_config(tmp_path))
    batch = client.next_batch()
    with pytest.raises(RuntimeError, match="not been charged for round 1"):
        client.learn(client.split.segments.discriminator, batch.latents.new_zeros(8, 1, 28, 28), batch)


def test_a_batch_has_as_many_fakes_whatever_images_take_part(tmp_path):
    client = _client(_config(tmp_path))
    sizes = {len(client.next_batch().latents) for _ in range(6)}
    assert sizes == {8}
