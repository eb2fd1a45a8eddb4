from dataclasses import replace
from functools import cache

import pytest
import torch

from huscf_flwr.data import LabelledImages
from huscf_flwr.evaluation.domain_scores import (
    DomainScores,
    EvaluationSettings,
    judge_domain,
    judge_quickly,
)
from huscf_flwr.evaluation.judge import train_judge
from tests.evaluation.domains import QUICK, digits_8x8, real_sampler

SETTINGS = EvaluationSettings(images=300, synthetic_images=1_000, synthetic_training=QUICK)


@cache
def judge():
    return train_judge(digits_8x8(), seed=0, settings=QUICK)


def generator():
    return torch.Generator().manual_seed(7)


@pytest.mark.slow
def test_a_perfect_generator_gets_full_marks():
    scores = judge_domain(digits_8x8(), real_sampler(digits_8x8()), judge(), SETTINGS, generator())
    assert scores.label_fidelity >= 0.97
    assert 9 <= scores.generation_score <= 10
    assert scores.tstr_accuracy >= 0.9
    assert min(scores.tstr_precision, scores.tstr_recall, scores.tstr_f1) >= 0.9
    assert scores.tstr_fpr <= 0.02


def test_wrong_labels_cost_fidelity_and_accuracy_but_not_the_generation_score():
    sampler = real_sampler(digits_8x8(), label_shift=1)
    scores = judge_domain(digits_8x8(), sampler, judge(), SETTINGS, generator())
    assert scores.label_fidelity <= 0.05
    assert scores.tstr_accuracy <= 0.1
    assert scores.generation_score >= 9


def test_noise_is_far_from_real_images():
    def noise(labels, generator):
        return torch.rand(len(labels), 1, 8, 8, generator=generator) * 2 - 1

    settings = replace(SETTINGS, synthetic_images=0)
    good = judge_domain(digits_8x8(), real_sampler(digits_8x8()), judge(), settings, generator())
    bad = judge_domain(digits_8x8(), noise, judge(), settings, generator())
    assert bad.fid > 10 * good.fid
    assert bad.label_fidelity < 0.3


def test_the_quick_look_gives_fidelity_and_score_only():
    scores = judge_quickly(digits_8x8(), real_sampler(digits_8x8()), judge(), SETTINGS, generator())
    known = {name for name, value in scores.as_dict().items() if value is not None}
    assert known == {"label_fidelity", "generation_score"}


def test_quick_and_full_look_agree_on_the_same_images():
    settings = replace(SETTINGS, synthetic_images=0)
    arguments = digits_8x8(), real_sampler(digits_8x8()), judge(), settings
    quick, full = judge_quickly(*arguments, generator()), judge_domain(*arguments, generator())
    assert quick.label_fidelity == full.label_fidelity
    assert quick.generation_score == full.generation_score


@pytest.mark.parametrize("without", ["synthetic images", "test images"])
def test_what_is_not_computed_is_none(without):
    domain, settings = digits_8x8(), SETTINGS
    if without == "synthetic images":
        settings = replace(settings, synthetic_images=0)
    else:
        nothing = LabelledImages(domain.test.images[:0], domain.test.labels[:0])
        domain = replace(domain, test=nothing)
    scores = judge_domain(domain, real_sampler(domain), judge(), settings, generator())
    assert scores.fid is not None
    assert all(value is None for name, value in scores.as_dict().items() if name.startswith("tstr"))


def test_another_domains_judge_is_refused():
    letters = replace(digits_8x8(), name="letters")
    for look in judge_domain, judge_quickly:
        with pytest.raises(ValueError, match="judge of digits cannot judge letters"):
            look(letters, real_sampler(letters), judge(), SETTINGS, generator())


@pytest.mark.parametrize("values", [{"images": 1}, {"synthetic_images": 1}, {"synthetic_images": -5}])
def test_settings_that_cannot_work_are_refused(values):
    ((name, value),) = values.items()
    with pytest.raises(ValueError, match=rf"evaluation\.{name} is {value}"):
        EvaluationSettings(**values)


def test_scores_have_the_names_of_the_files():
    assert list(DomainScores().as_dict()) == [
        "label_fidelity",
        "generation_score",
        "fid",
        "tstr_accuracy",
        "tstr_precision",
        "tstr_recall",
        "tstr_f1",
        "tstr_fpr",
        "judge_accuracy",
    ]
    assert DomainScores(inception_fid=2.0).as_dict()["inception_fid"] == 2.0
