"""Flower's partitioners deal the images of any domain: whole, seeded, and refused before anything is read."""

import numpy as np
import pytest
import torch

from huscf_flwr.conf_files import ConfError
from huscf_flwr.data import DataError, LabelledImages, Scenario, load_scenario, partition
from huscf_flwr.data.images import DescribedImages

pytest.importorskip("flwr_datasets")

LABELS = {name: torch.arange(600) % 10 for name in ("a", "b")}
EVERY_KIND = {
    "IidPartitioner": {},
    "DirichletPartitioner": {"alpha": 0.3, "min_partition_size": 2},
    "PathologicalPartitioner": {"num_classes_per_partition": 2},
    "ShardPartitioner": {"num_shards_per_partition": 2},
    "LinearPartitioner": {},
    "SquarePartitioner": {},
    "ExponentialPartitioner": {},
    "SizePartitioner": {"partition_sizes": [100, 200, 300]},
    "InnerDirichletPartitioner": {"partition_sizes": [100, 200, 300], "alpha": 0.5},
    "ContinuousPartitioner": {"strictness": 0.5},
    "NaturalIdPartitioner": {},
    "GroupedNaturalIdPartitioner": {"group_size": 3},
    "DistributionPartitioner": {
        "distribution_array": [[1.0] * 2] * 10,
        "num_unique_labels_per_partition": 2,
        "preassigned_num_samples_per_label": 1,
    },
}


def scenario(kind, domains=("a", "b"), **parameters):
    return Scenario(domains=domains, partitioner={"kind": kind, **parameters})


def dealt(given, clients=6, seed=0, labels=LABELS, **columns):
    return [part.indices for part in partition(given, labels, clients=clients, seed=seed, **columns)]


def test_every_partitioner_is_tried():
    import flwr_datasets.partitioner as known  # noqa: PLC0415

    unusable = {"Partitioner", "IdToSizeFncPartitioner", "VerticalEvenPartitioner", "VerticalSizePartitioner"}
    assert set(EVERY_KIND) == set(known.__all__) - unusable


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_image_is_dealt_twice_and_the_seed_decides(kind):
    given = scenario(kind, **EVERY_KIND[kind])
    clients = 20 if kind == "DistributionPartitioner" else 6
    parts = dealt(given, clients)
    for domain in (parts[: clients // 2], parts[clients // 2 :]):
        together = np.concatenate(domain)
        assert len(set(together.tolist())) == len(together)
        assert together.max() < 600
    assert listed(dealt(given, clients)) == listed(parts)
    # By labels, or by whoever took the images, there is nothing to draw.
    assert (listed(dealt(given, clients, seed=1)) == listed(parts)) == (kind == "NaturalIdPartitioner")


def listed(parts):
    return [part.tolist() for part in parts]


def test_the_deal_is_the_same_on_every_machine():
    parts = dealt(scenario("DirichletPartitioner", alpha=0.3), clients=4)
    assert [len(part) for part in parts] == [251, 349, 409, 191]
    assert [int(part.sum()) for part in parts] == [75672, 104028, 122723, 56977]


def test_a_partitioner_means_what_it_says():
    few = dealt(scenario("PathologicalPartitioner", num_classes_per_partition=2), clients=10)
    assert all(len(set(LABELS["a"][part].tolist())) == 2 for part in few)
    sizes = [len(part) for part in dealt(scenario("LinearPartitioner", ("a",)), clients=3)]
    assert sizes == [100, 200, 300]
    mixed = dealt(scenario("IidPartitioner", ("a",)), clients=3)
    assert all(len(set(LABELS["a"][part].tolist())) == 10 for part in mixed)


def test_what_a_partitioner_warns_of_is_logged_and_its_bar_is_not_shown(caplog, capfd):
    dealt(scenario("PathologicalPartitioner", num_classes_per_partition=2), clients=2)
    dealt(scenario("NaturalIdPartitioner"), clients=2)
    assert caplog.messages
    assert all(message.startswith("PathologicalPartitioner: ") for message in caplog.messages)
    assert capfd.readouterr().err == ""


def test_images_may_be_dealt_by_another_column():
    writers = np.array([f"writer-{number % 4}" for number in range(600)])
    given = scenario("NaturalIdPartitioner", ("a",), partition_by="writer")
    parts = dealt(given, clients=4, columns={"a": {"writer": writers}})
    assert [set(writers[part]) for part in parts] == [{f"writer-{number}"} for number in range(4)]
    # Of more writers than clients, the first are taken; what is left over nobody holds.
    assert [len(part) for part in dealt(given, clients=2, columns={"a": {"writer": writers}})] == [150, 150]
    with pytest.raises(
        DataError, match="NaturalIdPartitioner makes 4 parts of domain 'a', which has 5 clients"
    ):
        dealt(given, clients=5, columns={"a": {"writer": writers}})
    with pytest.raises(DataError, match="NaturalIdPartitioner makes 1 part of domain 'a'"):
        dealt(given, clients=5, columns={"a": {"writer": np.array(["writer-0"] * 600)}})
    with pytest.raises(DataError, match=r"partition_by is writer, but the images of domain 'a' have label"):
        dealt(given, clients=4)


def test_who_holds_an_image_is_a_column_too():
    holders = torch.arange(600) % 5
    images = LabelledImages(torch.zeros(600, 1, 2, 2, dtype=torch.uint8), LABELS["a"], holders=holders)
    given = scenario("NaturalIdPartitioner", ("a",), partition_by="holder")
    parts = dealt(given, clients=5, columns={"a": images.columns})
    assert [set(holders[part].tolist()) for part in parts] == [{number} for number in range(5)]
    described = DescribedImages(images.images, images.labels, {"age": np.arange(600)}, holders=holders)
    assert described.subset(torch.tensor([7, 11])).columns["age"].tolist() == [7, 11]
    assert described.subset(torch.tensor([7, 11])).columns["holder"].tolist() == [2, 1]


def test_sizes_and_a_cap_apply_to_what_is_dealt():
    given = Scenario(
        domains=["a"], partitioner={"kind": "IidPartitioner"}, sizes={"fractions": [0.5]}, cap_total=400
    )
    assert [len(part) for part in dealt(given, clients=2)] == [100, 100]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "{kind: dirichletpartitioner, alpha: 1}",
            r"is no partitioner .*did you mean 'DirichletPartitioner'",
        ),
        ("{kind: DirichletPartitioner, alpha: .nan}", "alpha is nan, and wants finite numbers"),
        ("{kind: DirichletPartitioner, alpha: [1, .inf]}", r"alpha is \[1, inf\], and wants finite numbers"),
        ("{kind: DirichletPartitioner, alpha: abc}", "alpha is abc, and wants finite numbers"),
        ("{kind: DirichletPartitioner, alpha: true}", "alpha is True, and wants finite numbers"),
        ("{kind: DirichletPartitioner, alpha: -1}", "takes no alpha: -1: .*strictly greater than zero"),
        ("{kind: SizePartitioner, partition_sizes: [1, true]}", "wants finite numbers"),
        ("{kind: VerticalEvenPartitioner}", "is no partitioner of Flower's that deals whole images"),
        ("{kind: IdToSizeFncPartitioner}", "is no partitioner"),
        ("{kind: DirichletPartitioner}", "DirichletPartitioner needs alpha; add it"),
        ("{kind: DirichletPartitioner, alpa: 1}", r"no parameter 'alpa' \(did you mean 'alpha'"),
        ("{kind: IidPartitioner, num_partitions: 3}", "num_partitions is not said here, since it is clients"),
        ("{kind: IidPartitioner, seed: 3}", "seed is not said here, since it is the run's seed"),
        ("{alpha: 1}", "'partitioner.kind' is missing"),
        (
            "{kind: IidPartitioner}\nlabels: {kind: dirichlet, alpha: 1}",
            "only one of them can deal the images",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_the_scenario_is_read(written, message, tmp_path):
    (tmp_path / "own.yaml").write_text(f"domains: [mnist]\npartitioner: {written}\n")
    with pytest.raises(ConfError, match=message):
        load_scenario(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("DirichletPartitioner", {"alpha": 1.0, "min_partition_size": 500}),
        ("PathologicalPartitioner", {"num_classes_per_partition": 11}),
        ("SizePartitioner", {"partition_sizes": [500, 500]}),
        ("GroupedNaturalIdPartitioner", {"group_size": 3, "mode": "strict"}),
    ],
)
def test_what_a_partitioner_cannot_do_names_it_and_the_domain(kind, parameters):
    with pytest.raises(
        DataError, match=f"partitioner: {kind} cannot deal 600 images of domain 'a' to 3 clients"
    ):
        dealt(scenario(kind, **parameters))


def test_without_the_extra_it_is_said_how_to_come_by_it(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "flwr_datasets.partitioner", None)
    (tmp_path / "own.yaml").write_text("domains: [mnist]\npartitioner: {kind: IidPartitioner}\n")
    with pytest.raises(ConfError, match=r"IidPartitioner needs the extra 'datasets'.*pip install"):
        load_scenario(tmp_path / "own.yaml")
