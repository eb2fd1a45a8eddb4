"""Rounds of FedVTC in a few lines of plain PyTorch, and what must hold of each phase."""

import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.contract import byte_counts
from huscf_flwr.seeding import torch_stream
from tests.methods.fedvtc.plain_rounds import FEATURES, IMAGES, PlainRounds, images_with
from tests.run.builders import assert_same_to_the_bit, private_tensors


def test_rounds_are_those_of_plain_pytorch(make):
    training = make()
    plain = PlainRounds(training.config)
    for number in (1, 2, 3):
        training.train()
        plain.train_round(number)
    method = training.method
    assert method.statistics.known.nonzero().squeeze(1).tolist() == [0, 1, 2, 5] == sorted(plain.means)
    for each, mean in plain.means.items():
        torch.testing.assert_close(method.statistics.means[each], mean)
        torch.testing.assert_close(method.statistics.deviations[each], plain.deviations[each])
    for name, weight in plain.decoder.state_dict().items():
        torch.testing.assert_close(method.decoder[name], weight)


def test_so_are_those_of_which_some_clients_miss_one(make):
    """Several clients tell of class 1, client 2 alone of class 5, and client 3 of class 3 from round 3 on."""
    images = {**IMAGES, 1: images_with([1] * 10 + [2] * 6 + [4] * 3, 1), 3: images_with([3] * 6 + [1] * 5, 3)}
    training = make(images, rounds=5)
    plain = PlainRounds(training.config, images)
    for number, clients in enumerate(([0, 1, 2], [0, 1, 2], [0, 3], [1, 2, 3], [1]), 1):
        training.train(clients=clients)
        plain.train_round(number, clients)
        for name, weight in plain.decoder.state_dict().items():
            found = training.method.decoder
            if found is not None:
                torch.testing.assert_close(found[name], weight, msg=lambda m, n=number: f"{n} {m}")
    for each, mean in plain.means.items():
        torch.testing.assert_close(training.method.statistics.means[each], mean)
    assert sorted(plain.means) == [0, 1, 2, 3, 5]


def test_in_the_end_everybody_tunes_on_drawn_images_and_its_own(make):
    training = make()
    plain = PlainRounds(training.config)
    for number in (1, 2, 3):
        training.train()
        plain.train_round(number)
    closed = training.train()
    for k, network in plain.networks.items():
        stream = torch_stream(training.config.seed, "tuning images", k, 4)
        labels = torch.tensor([0, 1, 2, 5]).repeat(3)
        own = IMAGES[k]
        for number in range(2):
            noise = torch.randn(len(labels), FEATURES, generator=stream, dtype=torch.float64)
            latents = (
                torch.stack([plain.means[y] for y in labels.tolist()])
                + torch.stack([plain.deviations[y] for y in labels.tolist()]) * noise
            )
            drawn = ((plain.decoder(latents).detach().float() + 1) * 127.5).round().clamp(0, 255)
            pixels = torch.cat([drawn, own.images.float()]).double() / 127.5 - 1
            plain.sgd[k].param_groups[0]["lr"] = (0.02, 0.01)[number]
            plain.classify(k, pixels, torch.cat([labels, own.labels]), f"tuning {number}.0 order|4")
        tuned = training.make_client(k)
        tuned.load_private(
            {
                name.partition("/")[2]: tensor
                for name, tensor in private_tensors(training.config.folder).items()
                if name.startswith(f"client-{k}-round-0004/")
            }
        )
        found = tuned.training.network.state_dict()
        for name, weight in network.state_dict().items():
            torch.testing.assert_close(found[name], weight)
        assert set(tuned.classifiers()) == {"", "untuned"}
    assert not any(upload.tensors for upload in closed.collected.uploads.values())
    assert all(upload.losses.keys() == {"tuning"} for upload in closed.collected.uploads.values())


def test_bytes_are_those_of_the_formula(make):
    training = make(**{"compute.precision": "float32"})
    decoder = sum(p.numel() for p in PlainRounds(make(name="other").config).decoder.parameters())
    training.train()
    up = {k: u.tensors for k, u in training.train().collected.uploads.items()}
    for client, told in {0: 2, 1: 1, 2: 1}.items():
        assert byte_counts(up[client]) == {
            "class_means": 4 * told * FEATURES,
            "spread": 4 * told * FEATURES,
            "decoder": 4 * decoder,
        }
    down = training.method.orders(3, [0]).of(0).tensors
    assert byte_counts(down) == {
        "statistics": 8 * 4 + 4 * (4 * FEATURES + 4 * FEATURES),
        "decoder": 4 * decoder,
    }


def test_before_the_first_round_nothing_is_told_and_no_decoder_is_sent(make):
    training = make()
    assert training.method.orders(1, [0, 1]).of(0).tensors == {}
    uploads = training.train().collected.uploads
    assert all("decoder" not in upload.tensors for upload in uploads.values())
    assert training.method.products() == []
    assert all(set(upload.losses) == {"classifier"} for upload in uploads.values())


def weights(client):
    return {name: tensor.clone() for name, tensor in client.training.network.state_dict().items()}


def test_no_phase_touches_what_the_other_trains(make):
    training = make(**{"fedvtc.matching": 1.0})
    training.train()
    client = training.make_client(0)
    client.begin(2, training.method.orders(2, [0]).of(0))
    before = {name: tensor.clone() for name, tensor in client.decoder.state_dict().items()}
    after_first_phase = None
    for losses in client.train():
        if "classifier" in losses:
            assert_same_to_the_bit(client.decoder.state_dict(), before)
            after_first_phase = weights(client)
        else:
            assert_same_to_the_bit(weights(client), after_first_phase)
            assert losses.keys() == {"reconstruction", "matching", "adversarial", "critic"}
    assert not torch.equal(client.decoder.state_dict()["layers.0.weight"], before["layers.0.weight"])
    assert all(p.requires_grad for p in client.training.network.parameters())


def test_the_matching_loss_moves_the_decoder_and_so_do_classes_that_a_client_lacks(make):
    """Its gradients pass through the extractor, which stands still."""
    training = make()
    training.train()
    moved = {}
    for classes, matching in (("held", 0.0), ("held", 1.0), ("all", 1.0)):
        settings = {"fedvtc.matching": matching, "fedvtc.matching_classes": classes}
        other = make(name=f"matching-{classes}-{matching}", **settings)
        client = other.make_client(2)
        client.begin(2, training.method.orders(2, [2]).of(2))
        list(client.train())
        moved[classes, matching] = client.decoder.state_dict()["layers.0.weight"]
    without, held, every = moved.values()
    assert not torch.equal(without, held)
    assert not torch.equal(held, every)


def test_a_client_that_was_never_selected_takes_part_in_the_last_tuning(make):
    training = make(fraction_train=0.5, min_train_clients=1)
    method = training.method
    assert len(method.select(1, [0, 1, 2])) == 1
    assert method.select(4, [2, 0, 1]) == (0, 1, 2)
    for _ in range(3):
        training.train(clients=[0])
    closed = training.train()
    assert set(closed.collected.uploads) == {0, 1, 2}


def test_a_class_that_nobody_tells_of_is_never_drawn(make):
    training = make()
    for _ in range(2):
        training.train()
    (product,) = training.method.products()
    assert product.tensors["statistics.classes"].tolist() == [0, 1, 2, 5]
    sample = training.method.sampler(training.config, product.tensors)
    images = sample(torch.tensor([0, 9]), torch.Generator().manual_seed(0))
    assert images.isfinite().all()
    assert images.shape == (2, 1, 28, 28)


def test_clients_that_tell_of_no_class_send_nothing(make):
    """A decoder would give their few images back."""
    images = {0: IMAGES[0], 1: images_with([3, 3, 4], 9)}
    training = make(images)
    assert training.method.clients[1].classes == ()
    for _ in range(2):
        uploads = training.train().collected.uploads
    assert uploads[1].tensors == {}
    assert training.method.statistics.known.nonzero().squeeze(1).tolist() == [0, 1]


def test_a_decoder_that_is_sent_has_not_seen_images_of_classes_that_are_not_told_of(make):
    """Client 1 has three images of class 1: others in their place change nothing."""
    found = []
    for seed in (5, 6):
        rare = images_with([1] * 3, seed)
        own = IMAGES[1]
        changed = LabelledImages(torch.cat([rare.images, own.images[3:]]), own.labels)
        training = make(
            {0: IMAGES[0], 1: changed}, name=f"seed-{seed}", **{"classifier.learning_rate": 1e-300}
        )
        training.train()
        uploads = training.train().collected.uploads
        found.append(uploads[1].tensors["decoder"])
    assert_same_to_the_bit(found[0], found[1])


@pytest.mark.parametrize("real", ["shuffled", "after", "none"])
def test_where_nobody_tells_of_a_class_clients_tune_on_their_own_images(make, real):
    training = make({0: images_with([3, 3, 4], 9)}, rounds=2, **{"fedvtc.tuning_real": real})
    for _ in range(2):
        training.train()
    assert not training.method.statistics.known.any()
    closed = training.train()
    assert closed.collected.uploads[0].losses.keys() == {"tuning"}


def test_nobody_tunes_on_what_an_untrained_decoder_draws(make):
    training = make(**{"fedvtc.tuning": "every-round"})
    found = ["tuning" in training.train().collected.uploads[0].losses for _ in range(4)]
    assert found == [False, False, True, True]


def test_who_keeps_its_decoder_and_has_never_trained_one_does_so_before_it_tunes(make):
    training = make(**{"fedvtc.share_decoder": False})
    for _ in range(3):
        training.train(clients=[0])
    uploads = training.train().collected.uploads
    assert set(uploads[0].losses) == {"tuning"}
    assert set(uploads[2].losses) == {"reconstruction", "tuning"}


def test_a_class_that_nobody_tells_of_is_not_aligned_to_anything(make):
    training = make(**{"fedvtc.alignment": 1.0, "fedvtc.spread_of": "class", "fedvtc.latents": "recentred"})
    for _ in range(3):
        closed = training.train()
    assert set(closed.collected.uploads) == {0, 1, 2}
    assert closed.collected.uploads[1].losses["alignment"] > 0


def test_a_decoder_needs_a_second_round(make):
    for tuning, fits in (("never", True), ("last", False), ("every-round", False)):
        training = make(name=tuning, rounds=1, **{"fedvtc.tuning": tuning})
        if fits:
            type(training.method).check(training.config)
            continue
        with pytest.raises(ValueError, match=r"fedvtc.tuning is .*, but rounds is 1.*at least 2 rounds"):
            type(training.method).check(training.config)


VARIANTS = {
    "default": {},
    "own decoders": {"fedvtc.share_decoder": False},
    "paper": {
        "fedvtc.latents": "sampled",
        "fedvtc.spread": "learned",
        "fedvtc.spread_rule": "total",
        "fedvtc.alignment": 0.1,
        "fedvtc.matching": 1.0,
        "fedvtc.matching_classes": "all",
        "fedvtc.tuning_draws": "once",
        "fedvtc.tuning_real": "after",
    },
    "by class": {
        "fedvtc.latents": "recentred",
        "fedvtc.spread_of": "class",
        "fedvtc.matching": 0.1,
        "fedvtc.matching_form": "image",
    },
    "of clients": {"fedvtc.spread_of": "client"},
    "no critic": {"fedvtc.adversarial": 0.0, "fedvtc.distillation_steps": 0},
    "every round": {"fedvtc.tuning": "every-round", "fedvtc.tuning_real": "none"},
    "never": {"fedvtc.tuning": "never"},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_a_run_that_goes_on_goes_on_to_the_bit(make, settings):
    """Clients are made anew in every round, from what they have kept; the server from its state."""
    lasting, first, second = (make(name=name, **settings) for name in ("lasting", "first", "second"))
    rounds = type(lasting.method).rounds(lasting.config)
    for _ in range(rounds):
        lasting.train()
    first.train()
    first.train()
    second.method.load(first.method.state().copied())
    second.rounds.number, second.rounds.kept = 2, dict(first.rounds.kept)
    second.folder = first.folder
    second.new_host()
    for _ in range(rounds - 2):
        second.train()
    assert_same_to_the_bit(second.method.state().tensors, lasting.method.state().tensors)
    kept = [
        {n: t for n, t in private_tensors(each.folder.parent.parent).items() if f"round-{rounds:04}/" in n}
        for each in (first, lasting)
    ]
    assert_same_to_the_bit(*kept)


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_losses_are_those_of_the_settings(make, settings):
    training = make(**settings)
    for _ in range(3):
        found = set(training.train().collected.uploads[0].losses)
    expected = {"classifier", "reconstruction"}
    expected |= {"alignment"} if settings.get("fedvtc.alignment") else set()
    expected |= {"divergence"} if settings.get("fedvtc.spread") == "learned" else set()
    expected |= {"matching"} if settings.get("fedvtc.matching") else set()
    expected |= {"adversarial", "critic"} if settings.get("fedvtc.adversarial", 40.0) else set()
    expected |= {"tuning"} if settings.get("fedvtc.tuning") == "every-round" else set()
    assert found == expected


@pytest.mark.slow
def test_a_round_has_no_more_steps_than_the_method_says(make):
    for name, settings in VARIANTS.items():
        training = make(name=name.replace(" ", "-"), **settings)
        for number in range(1, type(training.method).rounds(training.config) + 1):
            expected = training.method.steps(number, [0])
            client = training.make_client(0)
            client.begin(number, training.method.orders(number, [0]).of(0))
            assert sum(1 for _ in client.train()) == expected, (name, number)
            training.train()


def test_own_decoders_stay_on_their_clients_and_are_judged_there(make):
    training = make(**{"fedvtc.share_decoder": False})
    for _ in range(4):
        closed = training.train()
    assert training.method.products() == []
    assert all("decoder" not in u.tensors for u in closed.collected.uploads.values())
    tensors = {
        name.partition("/")[2]: tensor
        for name, tensor in private_tensors(training.config.folder).items()
        if name.startswith("client-0-round-0004/")
    }
    client = training.make_client(0)
    assert client.sampler() is None
    client.load_private(tensors)
    assert client.sampler()(torch.tensor([1]), torch.Generator()).shape == (1, 1, 28, 28)
    assert not torch.equal(
        tensors["decoder.layers.0.weight"], training.make_client(0).decoder.state_dict()["layers.0.weight"]
    )
