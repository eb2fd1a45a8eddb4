from dataclasses import replace

import pytest
import torch

from huscf_flwr.data import LabelledImages, load_domain
from huscf_flwr.evaluation import judge as judging
from huscf_flwr.evaluation.classifier import TrainingSettings
from huscf_flwr.evaluation.judge import judge_path, load_or_train_judge, train_judge
from huscf_flwr.evaluation.scores import FeatureStatistics, frechet_distance
from tests.evaluation.domains import digits_8x8

ONE_STEP = TrainingSettings(images_seen=1, batch=32)


def states_equal(first, second):
    first, second = first.network.state_dict(), second.network.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_a_judge_knows_its_domain(tmp_path):
    domain = load_domain("digits", root=None, cache=tmp_path, image=(1, 28))
    judge = train_judge(domain, seed=0)
    assert judge.domain == "digits"
    assert judge.accuracy(domain.test.images, domain.test.labels) >= 0.97
    _, features = judge.look_at(domain.train.images)
    assert frechet_distance(FeatureStatistics.of(features), judge.real) < 1e-6


def test_a_judge_does_not_depend_on_test_images(tmp_path):
    domain = digits_8x8()
    nonsense = LabelledImages(255 - domain.test.images, domain.test.labels.flip(0))
    other = replace(domain, test=nonsense)
    assert states_equal(
        train_judge(domain, seed=0, settings=ONE_STEP), train_judge(other, seed=0, settings=ONE_STEP)
    )
    assert judge_path(domain, cache=tmp_path, seed=0) == judge_path(other, cache=tmp_path, seed=0)


class Untouchable:
    def __getattr__(self, name):
        raise AssertionError(f"the judge looked at the test images: .{name}")


def test_a_judge_never_touches_test_images(tmp_path):
    domain = replace(digits_8x8(), test=Untouchable())
    load_or_train_judge(domain, cache=tmp_path, seed=0, settings=ONE_STEP)


def test_a_judge_needs_no_cache_that_can_be_written(tmp_path, caplog):
    (tmp_path / "file").touch()
    domain = digits_8x8()
    judge = load_or_train_judge(domain, cache=tmp_path / "file", seed=0, settings=ONE_STEP)
    assert states_equal(judge, train_judge(domain, seed=0, settings=ONE_STEP))
    assert "is not kept, and is trained again next time" in caplog.text


def test_a_cached_judge_is_not_trained_again(tmp_path, monkeypatch):
    domain = digits_8x8()
    first = load_or_train_judge(domain, cache=tmp_path, seed=0, settings=ONE_STEP)
    monkeypatch.setattr(judging, "train_classifier", lambda *_: pytest.fail("trained again"))
    second = load_or_train_judge(domain, cache=tmp_path, seed=0, settings=ONE_STEP)
    assert states_equal(first, second)
    assert torch.equal(first.real.mean, second.real.mean)
    assert torch.equal(first.real.covariance, second.real.covariance)
    assert torch.equal(first.look_at(domain.test.images)[0], second.look_at(domain.test.images)[0]), (
        "the two look at images differently"
    )


def test_only_the_finished_judge_is_left_in_the_cache(tmp_path):
    path = judge_path(digits_8x8(), cache=tmp_path, seed=0, settings=ONE_STEP)
    load_or_train_judge(digits_8x8(), cache=tmp_path, seed=0, settings=ONE_STEP)
    assert list((tmp_path / "judges").iterdir()) == [path]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:40], lambda content: b"", lambda content: b"?" * 99]
)
def test_a_damaged_judge_is_trained_again(tmp_path, damage, caplog):
    domain = digits_8x8()
    first = load_or_train_judge(domain, cache=tmp_path, seed=0, settings=ONE_STEP)
    path = judge_path(domain, cache=tmp_path, seed=0, settings=ONE_STEP)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert states_equal(load_or_train_judge(domain, cache=tmp_path, seed=0, settings=ONE_STEP), first)
    assert "is damaged" in caplog.text
    assert path.read_bytes() == whole


def test_everything_that_makes_a_judge_is_in_its_name(tmp_path):
    domain = digits_8x8()
    images, labels = domain.train.images, domain.train.labels
    one_pixel, one_label = images.clone(), labels.clone()
    one_pixel[0, 0, 0, 0] ^= 1
    one_label[0] = (one_label[0] + 1) % 10
    variants = [
        judge_path(domain, cache=tmp_path, seed=0),
        judge_path(domain, cache=tmp_path, seed=1),
        judge_path(domain, cache=tmp_path, seed=0, settings=ONE_STEP),
        judge_path(replace(domain, classes=11), cache=tmp_path, seed=0),
        judge_path(replace(domain, train=LabelledImages(one_pixel, labels)), cache=tmp_path, seed=0),
        judge_path(replace(domain, train=LabelledImages(images, one_label)), cache=tmp_path, seed=0),
    ]
    assert len(set(variants)) == len(variants)
    assert all(path.name.startswith("digits-") for path in variants)
