import math
import statistics
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from huscf_flwr.config import DataSection, EvaluationSection, RunConfig
from huscf_flwr.cuts import load_devices
from huscf_flwr.data import ClientData, LabelledImages, denormalise, normalise
from huscf_flwr.evaluation import judge_domain, judge_quickly, load_or_train_judge
from huscf_flwr.evaluation.domain_scores import JUDGE_SEED, evaluation_settings
from huscf_flwr.evaluation.own_models import classifier_scores, own_scores, spread_of
from huscf_flwr.evaluation.scores import DivergedError
from huscf_flwr.methods.contract import MessageClient
from huscf_flwr.metrics import metric_named
from huscf_flwr.seeding import torch_stream
from tests.evaluation.domains import digits_8x8, real_sampler

LISTED = ("accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1", "label_fidelity", "fid")
DOMAIN = replace(digits_8x8(), train=digits_8x8().train.subset(torch.arange(300)))


def labelled(labels) -> LabelledImages:
    """Images of one pixel that shows the place: classifiers below look it up."""
    pixels = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1, 1)
    return LabelledImages(pixels, torch.tensor(labels))


def answering(logits):
    """A classifier that gives image i the logits [i]."""
    return lambda images: torch.tensor(logits)[denormalise(images).long().flatten()]


def test_scores_worked_by_hand():
    """Predictions 0, 1, 1, 1 for 0, 0, 1, 1: F1 of class 0 is 2/3, of class 1 4/5."""
    logits = [[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 0.0 + 1e-3]]
    scores = classifier_scores(answering(logits), labelled([0, 0, 1, 1]))
    assert scores["accuracy"] == 0.75
    assert scores["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    losses = [math.log1p(math.exp(margin)) for margin in (-1.0, 1.0, -2.0, -1e-3)]
    assert scores["loss"] == pytest.approx(statistics.mean(losses))


def test_images_come_in_batches_as_numbers_of_the_range_and_type_asked_for():
    seen = []

    def classify(images):
        seen.append(images)
        return images.flatten(1)[:, :10]

    scores = classifier_scores(classify, digits_8x8().train, dtype=torch.float64)
    assert max(map(len, seen)) < len(digits_8x8().train)
    whole = torch.cat(seen)
    assert torch.equal(whole, normalise(digits_8x8().train.images, torch.float64))
    expected = functional.cross_entropy(whole.flatten(1)[:, :10], digits_8x8().train.labels)
    assert scores["loss"] == pytest.approx(float(expected))


def test_no_gradient_is_recorded():
    weights = torch.zeros(64, 10, requires_grad=True)

    def classify(images):
        logits = images.flatten(1) @ weights
        assert not logits.requires_grad
        return logits

    assert classifier_scores(classify, digits_8x8().test)["loss"] == pytest.approx(math.log(10))


def test_a_class_that_is_ruled_out_is_never_right_and_leaves_the_loss_unknown():
    logits = [[1.0, -math.inf], [1.0, -math.inf]]
    assert classifier_scores(answering(logits), labelled([0, 0])) == {"accuracy": 1.0, "f1": 1.0, "loss": 0.0}
    assert classifier_scores(answering(logits), labelled([0, 1])) == {
        "accuracy": 0.5,
        "f1": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize("row", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_logits_that_are_no_numbers_are_an_error(row):
    """It does not say for how many images: the reason crosses, and they are nobody's business."""
    with pytest.raises(DivergedError, match=r"^some of its logits are not finite: it has diverged; try"):
        classifier_scores(answering([[0.0, 1.0], row]), labelled([0, 0]))


def test_logits_of_another_form_are_an_error():
    with pytest.raises(ValueError, match=r"logits have shape \[2, 1, 2\], for 2 images"):
        classifier_scores(answering([[[0.0, 1.0]], [[0.0, 1.0]]]), labelled([0, 0]))
    with pytest.raises(ValueError, match="an image has label 2, but there are 2 logits"):
        classifier_scores(answering([[0.0, 1.0]]), labelled([2]))


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="no images to score"):
        classifier_scores(answering([[0.0]]), labelled([0]).none)


class Member(MessageClient):
    """Its classifiers answer with a constant, its generator draws real images."""

    def __init__(self, config, classifiers, sampler=None):
        super().__init__(7, DOMAIN.train, load_devices("paper").devices[0], config)
        self._classifiers, self._sampler = classifiers, sampler

    def classifiers(self):
        return self._classifiers

    def sampler(self):
        return self._sampler

    def begin(self, number, order):
        raise NotImplementedError

    train = upload = begin


def always(label):
    logits = functional.one_hot(torch.tensor(label), 10).float()
    return lambda images: logits.expand(len(images), -1)


def share(images, label):
    return float((images.labels == label).double().mean())


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return RunConfig(
        seed=3,
        data=DataSection(cache=tmp_path_factory.mktemp("cache")),
        evaluation=EvaluationSection(images=60, synthetic_images=40),
    )


def data(*, test=True, held_out=True) -> ClientData:
    held = DOMAIN.train.subset(torch.arange(250, 300))
    return ClientData(
        DOMAIN.train.subset(torch.arange(250)),
        held if held_out else held.none,
        DOMAIN.test if test else DOMAIN.test.none,
        DOMAIN if test else replace(DOMAIN, test=DOMAIN.test.none),
    )


def scored(member, config, of, listed=LISTED, *, number=4, thoroughly=False):
    return own_scores(
        member,
        of,
        config,
        listed=listed,
        number=number,
        thoroughly=thoroughly,
        judge_cache=config.data.cache,
    )


def test_classifiers_are_scored_on_test_and_held_out_images_under_their_names(config):
    found = scored(Member(config, {"": always(3), "prototype": always(5)}), config, data())
    assert list(found) == ["test", "held_out"]
    for scores, images in ((found["test"], DOMAIN.test), (found["held_out"], data().held_out)):
        assert set(scores) == {"accuracy", "f1", "loss", "prototype_accuracy", "prototype_f1"}
        assert scores["accuracy"] == pytest.approx(share(images, 3))
        assert scores["prototype_accuracy"] == pytest.approx(share(images, 5))


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("held_out", [False, True])
def test_what_a_client_has_no_images_for_is_absent(config, test, held_out):
    found = scored(Member(config, {"": always(3)}), config, data(test=test, held_out=held_out))
    assert set(found) == {name for name, there in (("test", test), ("held_out", held_out)) if there}


def test_only_listed_scores_are_returned(config):
    member = Member(config, {"": always(3), "prototype": always(5)})
    found = scored(member, config, data(), ("prototype_f1", "tstr_f1"))
    assert {on: set(scores) for on, scores in found.items()} == {
        "test": {"prototype_f1"},
        "held_out": {"prototype_f1"},
    }
    assert scored(member, config, data(), ()) == {}


def test_a_client_without_models_has_no_scores(config):
    assert scored(Member(config, {}), config, data()) == {}


def test_a_model_that_has_diverged_is_named_with_its_client(config):
    def broken(images):
        return torch.full((len(images), 10), math.nan)

    with pytest.raises(DivergedError, match=r"client 7's classifier: some of its logits .*diverged"):
        scored(Member(config, {"": broken}), config, data())
    with pytest.raises(DivergedError, match=r"client 7's prototype classifier: .*diverged"):
        scored(Member(config, {"prototype": broken}), config, data())
    with pytest.raises(DivergedError, match=r"client 7's generator: .*diverged"):
        scored(
            Member(config, {}, lambda labels, _: torch.full((len(labels), 1, 8, 8), math.nan)), config, data()
        )


def test_a_mistake_is_named_too_and_is_no_divergence(config):
    with pytest.raises(ValueError, match=r"client 7's classifier: its logits have shape") as raised:
        scored(Member(config, {"": lambda images: torch.zeros(len(images))}), config, data())
    assert not isinstance(raised.value, DivergedError)


@pytest.mark.parametrize("thoroughly", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_a_generator_is_judged_by_the_domains_judge_from_a_stream_of_client_and_round(
    config, test, thoroughly
):
    of = data(test=test)
    names = ("label_fidelity", "generation_score", "fid", "tstr_f1")
    found = scored(Member(config, {}, real_sampler(DOMAIN)), config, of, names, thoroughly=thoroughly)
    look = judge_domain if thoroughly else judge_quickly
    expected = look(
        of.domain,
        real_sampler(DOMAIN),
        load_or_train_judge(DOMAIN, seed=JUDGE_SEED, cache=config.data.cache),
        evaluation_settings(config),
        torch_stream(config.seed, "judging", 7, 4),
    ).as_dict()
    known = {name: expected[name] for name in names if expected[name] is not None}
    assert found == {"generated": known}
    assert len(known) == (2 if not thoroughly else 3 if not test else 4)


def test_a_generator_and_a_classifier_are_judged_together(config):
    member = Member(config, {"": always(3)}, real_sampler(DOMAIN))
    found = scored(member, config, data())
    assert {on: set(scores) for on, scores in found.items()} == {
        "test": {"accuracy", "f1", "loss"},
        "held_out": {"accuracy", "f1", "loss"},
        "generated": {"label_fidelity"},
    }


def test_a_generator_of_which_no_score_may_cross_is_not_judged(config):
    def sample(labels, generator):
        raise AssertionError

    assert scored(Member(config, {}, sample), config, data(), ("accuracy",)) == {}


VALUES = st.floats(0, 100, allow_subnormal=False)
SCORES = st.dictionaries(st.sampled_from(["accuracy", "loss", "roundness"]), VALUES, max_size=3)
JUDGED = st.dictionaries(
    st.integers(0, 50),
    st.dictionaries(st.sampled_from(["test", "held_out"]), SCORES, max_size=2),
    max_size=8,
)


@given(JUDGED)
def test_a_spread_is_over_the_clients_that_have_the_score(judged):
    found = spread_of(judged)
    for on in "test", "held_out":
        for name in "accuracy", "loss", "roundness":
            values = [own[on][name] for own in judged.values() if name in own.get(on, {})]
            if not values:
                assert name not in found.get(on, {})
                continue
            spread = found[on][name]
            assert min(values) <= spread["mean"] <= max(values)
            assert spread["mean"] == pytest.approx(sum(values) / len(values))
            assert spread["worst"] == (max(values) if name == "loss" else min(values))
            variance = sum((value - spread["mean"]) ** 2 for value in values) / len(values)
            assert spread["spread"] == pytest.approx(math.sqrt(variance), abs=1e-6)
            assert spread["spread"] <= max(values) - min(values)
    assert all(found.values())


@given(JUDGED, st.randoms(use_true_random=False))
def test_a_spread_does_not_depend_on_the_order_of_clients(judged, random):
    shuffled = list(judged.items())
    random.shuffle(shuffled)
    assert spread_of(dict(shuffled)) == spread_of(judged)


@given(VALUES, st.integers(1, 30))
def test_equal_clients_have_no_spread(value, clients):
    judged = {client: {"test": {"accuracy": value}} for client in range(clients)}
    assert spread_of(judged) == {"test": {"accuracy": {"mean": value, "worst": value, "spread": 0.0}}}


def test_scores_are_registered_with_their_better_way():
    better = {name: metric_named(name).better for name in ("accuracy", "f1", "loss")}
    assert better == {"accuracy": "higher", "f1": "higher", "loss": "lower"}
    assert {f"prototype_{name}": metric_named(f"prototype_{name}").better for name in better} == {
        f"prototype_{name}": way for name, way in better.items()
    }
