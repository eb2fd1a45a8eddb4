"""What is spent of the privacy of images: written down first, and never forgotten by accident."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from huscf_flwr.accounting import BudgetSpentError, Releases
from huscf_flwr.methods.contract import MessageClient
from huscf_flwr.run.spent_budget import SpentBudget, SpentBudgetError, copy_spent
from tests.run.builders import DEVICE, images_of_client, small_run


class Spender(MessageClient):
    """Spends a step of noise 2 for each of its own, and has the privacy for ten."""

    def begin(self, number, order):
        pass

    def train(self):
        yield {}

    def upload(self):
        pass

    def charge(self, steps, spent):
        if sum(each.steps for each in spent) + steps > 10:
            raise BudgetSpentError("all is spent")
        self.spent = [each.steps for each in spent]
        return [Releases(0.1, 2.0, steps)]


@pytest.fixture
def spender(tmp_path):
    return Spender(3, images_of_client(3, 2), DEVICE, small_run(tmp_path, tmp_path))


def test_a_round_knows_what_all_rounds_and_trainings_before_it_have_spent(tmp_path, spender):
    for number, training in ((1, "first"), (2, "first"), (1, "second")):
        SpentBudget(tmp_path).charge(spender, training, number, 3)

    assert spender.spent == [3, 3]
    with pytest.raises(BudgetSpentError):
        SpentBudget(tmp_path).charge(spender, "third", 1, 3)
    SpentBudget(tmp_path).charge(spender, "third", 1, 1)
    assert spender.spent == [3, 3, 3]


def test_of_two_that_are_charged_at_the_same_time_neither_is_forgotten(tmp_path, spender):
    """The second begins while the first is still looking for its noise."""
    others = []

    class Slow(Spender):
        def charge(self, steps, spent):
            others.append(pool.submit(SpentBudget(tmp_path).charge, spender, "second", 1, 4))
            assert wait(others, timeout=0.2).not_done
            return super().charge(steps, spent)

    slow = Slow(3, spender.images, DEVICE, spender.config)
    with ThreadPoolExecutor(1) as pool:
        SpentBudget(tmp_path).charge(slow, "first", 1, 3)
        others[0].result()

    assert spender.spent == [3]
    SpentBudget(tmp_path).charge(spender, "third", 1, 1)
    assert spender.spent == [3, 4]
    assert [path.name for path in (tmp_path / "spent").iterdir()] == ["client-3.json"]


def test_a_device_has_one_budget_whatever_id_it_goes_by_and_virtual_clients_one_each(tmp_path, spender):
    other = Spender(4, spender.images, DEVICE, spender.config)
    for of_device, spent in ((False, []), (True, [3])):
        folder = tmp_path / str(of_device)
        for member in (spender, other):
            SpentBudget(folder, of_device=of_device).charge(member, "first", 1, 3)
        assert other.spent == spent


def test_a_round_that_is_trained_again_is_counted_again_since_its_noise_is_new(tmp_path, spender):
    budget = SpentBudget(tmp_path)
    for _ in range(3):
        budget.charge(spender, "first", 1, 3)

    assert spender.spent == [3, 3]


def test_where_noise_is_repeated_a_run_that_resumes_has_spent_what_it_had_then(tmp_path, spender):
    budget = SpentBudget(tmp_path, may_repeat=True)
    for training, number, steps in (("other", 9, 1), ("first", 1, 2), ("first", 2, 3), ("first", 3, 4)):
        budget.charge(spender, training, number, steps)

    budget.charge(spender, "first", 2, 3)

    assert spender.spent == [1, 2]


def test_it_goes_with_a_run_to_another_folder(tmp_path, spender):
    SpentBudget(tmp_path / "one").charge(spender, "first", 1, 3)

    copy_spent(tmp_path / "one", tmp_path / "two")
    SpentBudget(tmp_path / "two").charge(spender, "first", 2, 3)

    assert spender.spent == [3]


def test_a_file_that_cannot_be_read_is_no_empty_one(tmp_path, spender):
    SpentBudget(tmp_path).charge(spender, "first", 1, 3)
    (path,) = tmp_path.glob("spent/*")
    path.write_text("{")

    with pytest.raises(SpentBudgetError, match="put back"):
        SpentBudget(tmp_path).charge(spender, "first", 2, 3)


def test_clients_that_spend_nothing_have_no_file(tmp_path):
    class Free(Spender):
        charge = MessageClient.charge

    SpentBudget(tmp_path).charge(
        Free(0, images_of_client(0, 2), DEVICE, small_run(tmp_path, tmp_path)), "a", 1, 3
    )

    assert not (tmp_path / "spent").exists()
