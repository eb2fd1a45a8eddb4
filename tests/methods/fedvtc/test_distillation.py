import math

import pytest
import torch
from torch import nn

from huscf_flwr.methods.fedvtc.distillation import Teacher, distil, teacher_of
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics


class Drawing(nn.Module):
    """From vectors [N, 2] to images [N, 1, 1, 2]: a linear map."""

    def __init__(self, matrix, shift):
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor(matrix, dtype=torch.float64))
        self.shift = nn.Parameter(torch.tensor(shift, dtype=torch.float64))

    def forward(self, vectors):
        return (vectors @ self.matrix + self.shift)[:, None, None, :]


def statistics(means, known=(True, True, False)):
    rows = torch.tensor([*means, [0.0, 0.0]], dtype=torch.float64)
    return GlobalStatistics(rows, torch.tensor(known), torch.tensor([1.0, 0.5], dtype=torch.float64))


IDENTITY = [[1.0, 0.0], [0.0, 1.0]]
OLD = statistics([[0.0, 0.0], [4.0, 0.0]])
NEW = statistics([[1.0, 1.0], [4.0, 3.0]])


def teacher(drawing, shares, means=OLD.means):
    weights = {name: weight.detach().clone() for name, weight in drawing.named_parameters()}
    return Teacher(weights, means, torch.tensor(shares, dtype=torch.float64))


def learned(teachers, now=NEW, steps=2000):
    student = Drawing([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0])
    stream = torch.Generator().manual_seed(0)
    distil(student, teachers, now, steps=steps, learning_rate=0.05, stream=stream)
    return student


def test_what_was_drawn_at_a_distance_from_an_old_mean_is_drawn_at_that_from_the_new_one():
    drawing = Drawing(IDENTITY, [0.5, 0.0])
    student = learned([teacher(drawing, [1.0, 0.0, 0.0])])
    offsets = torch.tensor([[0.0, 0.0], [1.0, -0.5]], dtype=torch.float64)
    expected = drawing(OLD.means[:1] + offsets)
    torch.testing.assert_close(student(NEW.means[:1] + offsets), expected, atol=1e-3, rtol=0)


def test_each_class_is_learned_from_those_who_have_it():
    drawings = [Drawing(IDENTITY, [0.0, 0.0]), Drawing(IDENTITY, [-3.0, 2.0])]
    still = statistics([[0.0, 0.0], [0.0, 4.0]])
    teachers = [
        teacher(drawings[0], [1.0, 0.0, 0.0], still.means),
        teacher(drawings[1], [0.0, 1.0, 0.0], still.means),
    ]
    student = learned(teachers, still)
    for label, drawing in enumerate(drawings):
        vector = still.means[label : label + 1]
        apart = (student(vector) - drawing(vector)).abs().max()
        others = (student(vector) - drawings[1 - label](vector)).abs().max()
        assert apart < 0.5 < others


def test_vectors_are_dealt_along_the_direction_in_which_their_class_spreads_most():
    """What is on one side of it is drawn by one teacher, what is on the other by the other."""
    wide = GlobalStatistics(OLD.means, OLD.known, torch.tensor([0.1, 3.0], dtype=torch.float64))
    up, down = (Drawing([[0.0, 0.0], [0.0, 0.0]], [0.0, shift]) for shift in (1.0, -1.0))
    shares = [1.0, 0.0, 0.0]
    student = learned([teacher(down, shares), teacher(up, shares)], wide)
    drawn = student(torch.tensor([[0.0, 3.0], [0.0, -3.0]], dtype=torch.float64)).flatten(1)[:, 1]
    assert drawn[0] > 0.5
    assert drawn[1] < -0.5


def test_teachers_stay_as_they_are():
    given = teacher(Drawing(IDENTITY, [0.5, 0.0]), [1.0, 1.0, 0.0])
    learned([given], steps=3)
    assert torch.equal(given.weights["matrix"], torch.eye(2, dtype=torch.float64))
    assert given.weights["matrix"].grad is None


@pytest.mark.parametrize("shares", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], ids=["nobody", "unknown"])
def test_without_a_class_to_learn_the_student_stays_as_it_is(shares):
    student = learned([teacher(Drawing(IDENTITY, [0.5, 0.0]), shares)])
    assert not student.matrix.any()


def test_a_line_is_divided_by_the_shares_and_neighbours_have_the_same_teacher():
    places = torch.linspace(-5, 5, 20001, dtype=torch.float64)
    shares = torch.tensor([3.0, 0.0, 1.0, 0.0]).expand(len(places), 4)
    who = teacher_of(places, shares)
    assert set(who.tolist()) == {0, 2}
    assert (who.diff() >= 0).all()
    border = float(places[who == 2][0])
    assert math.isclose((1 + math.erf(border / math.sqrt(2))) / 2, 0.75, abs_tol=1e-3)


def test_the_ends_of_the_line_belong_to_somebody():
    places = torch.tensor([-40.0, 40.0])
    for shares in ([1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]):
        who = teacher_of(places, torch.tensor(shares).expand(2, 3))
        assert [shares[place] > 0 for place in who.tolist()] == [True, True]
