"""What both models lose, against computations in numbers."""

import math

import pytest
import torch

from huscf_flwr.methods.fedtype.losses import agreement, distillation_loss, ranking_loss


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_agreement_is_shared_classes_among_all():
    one = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    other = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]]).bool()
    assert agreement(one, other).tolist() == pytest.approx([1 / 3, 0, 1])


def test_ranking_is_the_mean_lead_of_those_outside_over_those_inside():
    logits, sets = random(5, 4), torch.rand(5, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    sets[:, 0] = True
    expected = 0.0
    for row, own in zip(logits.tolist(), sets.tolist(), strict=True):
        inside = [z for z, there in zip(row, own, strict=True) if there]
        outside = [z for z, there in zip(row, own, strict=True) if not there]
        leads = [max(0.0, b - a) for a in inside for b in outside]
        expected += sum(leads) / len(leads) / 5 if leads else 0
    assert float(ranking_loss(logits, sets)) == pytest.approx(expected)


def test_the_model_that_is_to_learn_has_a_gradient_which_leads_it_to_the_sets():
    """In the public code it has none."""
    logits = torch.tensor([[0.0, 1.0, 2.0]], requires_grad=True)
    sets = torch.tensor([[True, True, False]])
    loss = ranking_loss(logits, sets)
    loss.backward()
    assert logits.grad.tolist() == [[-0.5, -0.5, 1.0]]
    assert float(ranking_loss(logits.detach() - 3 * logits.grad, sets)) == 0


def test_a_set_of_all_classes_says_nothing():
    assert float(ranking_loss(random(3, 4), torch.ones(3, 4).bool())) == 0


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_the_divergence_from_the_teacher(temperature):
    logits, teacher = random(3, 4), random(3, 4, seed=1)
    expected = 0.0
    for student, taught in zip(logits.tolist(), teacher.tolist(), strict=True):
        q = [math.exp(z / temperature) for z in student]
        p = [math.exp(z / temperature) for z in taught]
        expected += (
            sum(a / sum(p) * math.log(a / sum(p) / (b / sum(q))) for a, b in zip(p, q, strict=True)) / 3
        )
    assert float(distillation_loss(logits, teacher, temperature=temperature)) == pytest.approx(expected)
