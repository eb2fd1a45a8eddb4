"""HuSCF-GAN's rounds where every client keeps the whole discriminator."""

import pytest
import torch

from huscf_flwr.cuts import CutProblem, Server
from huscf_flwr.federation import ActivationAccumulator
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Collected, Order, Reveal, Upload
from huscf_flwr.methods.huscf import HuSCF, HuSCFLocal
from huscf_flwr.methods.huscf.crossing import CROSSING_LOCAL, STATISTICS, StatisticsFacts, WindowOrder
from huscf_flwr.methods.huscf.observation import ToldObservation, form_of_statistics, statistics_to_tell
from huscf_flwr.models import Cut, all_block_keys, model_spec_of, tail_indices, unflatten_blocks
from huscf_flwr.session import TensorHeader
from tests.methods.huscf.builders import ScriptedClusters, Spy, huscf_training, segments_of
from tests.run.builders import DEVICE, SAMPLES, descriptions, images_of_client, small_run

LOCAL = {"privacy.local_discriminator": True, "fake_labels": "uniform", "privacy.min_observed": 1}
DOUBLE = {"compute.precision": "float64"}
SHARED = {("discriminator", index) for index in (1, 2, 3)}


class Derived(HuSCF):
    """Somebody's own method, whose exchanges are those of the split session."""


def config_of(place, **settings):
    return resolved(small_run(place, place, **{"model.width": 0.03, **LOCAL, **settings}))


def test_this_crosses_and_nothing_else(tmp_path):
    listed = method_of(config_of(tmp_path)).crossing
    assert listed is CROSSING_LOCAL
    assert set(listed.order.model_fields) == {"cut", "observed"}
    assert listed.order_kinds == HuSCF.crossing.order_kinds
    assert set(listed.upload.model_fields) == {"observed"}
    assert listed.upload_kinds == ("segments", "statistics of activations")
    assert [[kind.name for kind in each.up] for each in listed.exchanges] == [
        ["generator head output"],
        ["gradient of generator tail input"],
    ]
    assert [[kind.name for kind in each.down] for each in listed.exchanges] == [
        ["generator tail input"],
        ["gradient of generator head output"],
    ]


def test_a_class_derived_from_the_split_one_does_not_honour_the_setting(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.methods.huscf.test_local_discriminator.Derived.name", "huscf")
    with pytest.raises(ValueError, match=r"local_discriminator is True.*not honour.*does: huscf$"):
        method_of(config_of(tmp_path, method=f"{__name__}:Derived"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"fake_labels": "real"}, "fake_labels is real, .* set fake_labels to uniform, or to own-mix"),
        ({"huscf.weights_from": "labels"}, "huscf.weights_from is labels, .* set one of the two back"),
    ],
)
def test_settings_by_which_labels_would_cross_are_refused_by_both_sides(tmp_path, setting, said):
    config = config_of(tmp_path, **setting)
    with pytest.raises(ValueError, match=said):
        method_of(config).check(config)
    with pytest.raises(ValueError, match=said):
        huscf_training(tmp_path, **{**LOCAL, **setting})


def test_fakes_may_have_each_label_as_often_as_the_client_has_it(tmp_path):
    """Its statistics tell the mix in any case."""
    config = config_of(tmp_path, fake_labels="own-mix")
    method_of(config).check(config)
    huscf_training(tmp_path, **{**LOCAL, "fake_labels": "own-mix"}).train()
    assert CROSSING_LOCAL.shows_server["generator head output"] is Reveal.LABEL_COUNTS
    assert CROSSING_LOCAL.shows_server[STATISTICS] is Reveal.LABEL_COUNTS


def test_an_order_that_would_let_images_cross_is_refused(tmp_path):
    training = huscf_training(tmp_path, **LOCAL)
    client = training.make_client(0)
    with pytest.raises(ValueError, match=r"told the cut \(1, 1, 1, 1\), which does not keep the whole"):
        client.begin(1, Order(facts=WindowOrder(cut=(1, 1, 1, 1), observed=(1, 2))))


def test_the_discriminator_between_its_ends_is_everybodys_and_the_ends_are_the_clusters(tmp_path):
    training = huscf_training(tmp_path, **LOCAL, parts={"clusterer": ScriptedClusters((0, 1, 0))})
    method = training.method
    spy = Spy(method)
    training.train()
    keys = {key for key in all_block_keys(method.spec) if key[0] == "discriminator"}
    assert method.cuts.shared_blocks == SHARED
    of_clusters = [method.models.blocks[name] for name in (0, 1)]
    for key in keys:
        first, second = (blocks[key]["main.weight"] for blocks in of_clusters)
        assert torch.equal(first, second) == (key in SHARED)
    (given,), (result,) = spy.given, spy.results
    weights = result.global_weights
    copies = {k: blocks["discriminator", 2]["main.weight"] for k, blocks in given["client_blocks"].items()}
    expected = sum(weights[client] * copy for client, copy in copies.items())
    torch.testing.assert_close(of_clusters[0]["discriminator", 2]["main.weight"], expected)
    orders = method.orders(2, training.clients)
    assert all(keys < segments_of(orders.of(client)) for client in training.clients)


def test_each_cluster_has_its_own_once_bodies_have_parted(tmp_path):
    training = huscf_training(tmp_path, **LOCAL, parts={"clusterer": ScriptedClusters(*[(0, 1, 0)] * 2)})
    for _ in range(3):
        training.train()
    assert training.method.bodies.parted
    first, second = (training.method.models.blocks[name] for name in (0, 1))
    for key in SHARED:
        assert not torch.equal(first[key]["main.weight"], second[key]["main.weight"])


def test_a_cluster_of_which_nobody_was_there_has_the_rounds_common_blocks_too(tmp_path):
    training = huscf_training(tmp_path, **LOCAL, parts={"clusterer": ScriptedClusters((0, 1, 0), (0, 0))})
    training.train()
    before = training.method.models.blocks[1]
    training.train(clients=[0, 2])
    first, second = (training.method.models.blocks[name] for name in (0, 1))
    for key in SHARED:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
    torch.testing.assert_close(second["discriminator", 0], before["discriminator", 0], rtol=0, atol=0)


def test_the_clients_tell_what_the_split_session_sees_in_its_first_step(tmp_path):
    """One client and one step: before weights move, the middle is the same, whoever runs it."""
    seen = []
    for place, settings in (("split", {"fake_labels": "uniform"}), ("local", LOCAL)):
        training = huscf_training(
            tmp_path / place, samples={0: 8}, cuts={0: _lightest(settings)}, **settings, **DOUBLE
        )
        method = training.method
        _, hosted = training.begin()
        seen.append(method.observation.statistics(Collected(uploads=hosted.uploads))[0])
    split, local = seen
    assert local.samples == split.samples == 8
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(local, name), getattr(split, name), rtol=0, atol=1e-12)
    torch.testing.assert_close(local.sketch.mean, split.sketch.mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(local.sketch.covariance, split.sketch.covariance, rtol=0, atol=1e-12)


def test_what_is_told_is_what_was_gathered_whatever_the_window(tmp_path):
    config = config_of(tmp_path, **DOUBLE)
    form = form_of_statistics(config)
    accumulator = ActivationAccumulator()
    shape = form["mean"].shape
    for size in (3, 5):
        accumulator.observe(torch.randn(size, *shape, dtype=torch.float64))
    gathered = accumulator.statistics()
    told = statistics_to_tell(config, gathered)
    assert {name: TensorHeader.of(tensor) for name, tensor in told.items()} == form
    upload = Upload(facts=StatisticsFacts(observed=8), tensors={"statistics of activations": told})
    found = ToldObservation(config, descriptions()).statistics(Collected(uploads={3: upload}))[3]
    torch.testing.assert_close(vars(found.sketch), vars(gathered.sketch), rtol=0, atol=1e-12)
    torch.testing.assert_close([found.mean, found.variance], [gathered.mean, gathered.variance])


def test_no_covariance_is_told_where_nothing_is_scaled_by_it(tmp_path):
    config = config_of(tmp_path, **{"huscf.feature_scaling": "clients"})
    assert set(form_of_statistics(config)) == {"mean", "variance"}
    training = huscf_training(tmp_path, **LOCAL, **{"huscf.feature_scaling": "clients"})
    training.train()
    assert training.method.clusters().keys() == SAMPLES.keys()


def test_statistics_of_one_batch_are_not_told(tmp_path):
    config = config_of(tmp_path, **{"huscf.feature_window": "last-batch"})
    with pytest.raises(ValueError, match=r"feature_window is last-batch.* take first-epoch"):
        method_of(config).check(config)


def left(client, window):
    """Why a client leaves in its first step, before anything crosses; None if it does not."""
    lightest = tuple(Cut(1, 1, 5, 0))
    client.begin(1, Order(facts=WindowOrder(cut=lightest, observed=window)))
    computed = next(client.step())
    assert (computed.leaves is None) == bool(computed.frame)
    return computed.leaves and computed.leaves.reason


@pytest.mark.parametrize(("count", "leaves"), [(15, True), (16, False), (17, False)])
def test_a_client_with_few_images_leaves_whatever_the_window(tmp_path, count, leaves):
    config = config_of(tmp_path, **{"privacy.min_observed": 16})
    client = method_of(config).client(0, images_of_client(0, count), DEVICE, config)
    reason = left(client, (1, 9))
    assert (reason is not None) == leaves
    if leaves:
        assert reason.startswith("it has 15 images, but tells statistics of 16 at least (privacy.m")


@pytest.mark.parametrize(
    ("window", "leaves"), [((1, 1), True), ((2, 2), True), ((2, 1), True), ((1, 2), False), ((3, 4), False)]
)
def test_a_window_shorter_than_a_pass_over_the_clients_images_is_refused(tmp_path, window, leaves):
    """A pass over 9 images takes two steps, of 8 images and of one."""
    config = config_of(tmp_path)
    client = method_of(config).client(0, images_of_client(0, 9), DEVICE, config)
    reason = left(client, window)
    assert (reason is not None) == leaves
    if leaves:
        assert "a pass over its images takes 2, and statistics of fewer images" in reason


@pytest.mark.parametrize("window", [(1, 1000), (-5, 1)])
def test_a_round_that_ends_before_the_pass_does_tells_nothing(tmp_path, window):
    """The window is as long as it must be, but the server has the client train on one batch."""
    training = huscf_training(tmp_path, **LOCAL)
    client = training.make_client(0)
    client.begin(1, Order(facts=WindowOrder(cut=(1, 1, 5, 0), observed=window)))
    run_locally(client)
    with pytest.raises(
        ValueError, match=r"activations of 8 images, but it tells no statistics of fewer than 16"
    ):
        client.upload()


@pytest.mark.slow
def test_others_train_on_without_a_client_that_has_too_few_images(tmp_path):
    training = huscf_training(tmp_path, **{**LOCAL, "privacy.min_observed": 9})
    _, hosted = training.begin()
    assert set(hosted.uploads) == {0, 1}
    assert "it has 5 images" in hosted.drop_outs[2].reason


def run_locally(client):
    """One step of a client, with zeros in the place of what comes down."""
    step = client.step()
    (head_output,) = next(step).frame
    spec, cut = client.split.spec, client.split.cut
    shape = spec.shapes("generator")[tail_indices(spec, cut, "generator").start]
    step.send((head_output.new_zeros(len(head_output), *shape),))
    with pytest.raises(StopIteration):
        step.send((torch.zeros_like(head_output),))


@pytest.mark.parametrize(("window", "steps"), [("first-epoch", (1, 2)), ("last-epoch", (3, 4))])
def test_statistics_are_of_the_steps_of_the_window(tmp_path, window, steps):
    """Of two epochs of two steps; batches have 8 images, or what is left of a pass."""
    training = huscf_training(tmp_path, **LOCAL, **{"huscf.feature_window": window, "local_epochs": 2})
    opened, hosted = training.begin()
    assert {opened.orders.of(client).facts.observed for client in training.clients} == {steps}
    for client, upload in hosted.uploads.items():
        own = training.make_client(client)
        own.begin(1, opened.orders.of(client))
        sizes = [len(own.next_batch().labels) for _ in range(4)]
        assert upload.facts.observed == sum(sizes[steps[0] - 1 : steps[1]])


def test_the_products_are_whole_generators(tmp_path):
    training = huscf_training(tmp_path, **LOCAL)
    training.train()
    (product, *_) = training.method.products()
    keys = {key for key in all_block_keys(training.method.spec) if key[0] == "generator"}
    assert unflatten_blocks(product.tensors).keys() == keys


def test_its_price_counts_the_whole_discriminator_as_the_clients(tmp_path):
    """Whoever asks hands over a problem that knows nothing of the setting, as ``huscf compare`` does."""
    config = config_of(tmp_path)
    problem = CutProblem(model_spec_of(config), (DEVICE,), Server(gflops=1, mbit_per_s=100), 8)
    price = method_of(config).price(config, problem)
    generator, discriminator = problem.costs.generator, problem.costs.discriminator
    kept = generator.total_gflop() - price.server_gflop
    assert price.client_gflop == pytest.approx(kept + discriminator.total_gflop())
    assert 0 < price.server_gflop < generator.total_gflop()


def test_the_class_is_the_local_one(tmp_path):
    assert method_of(config_of(tmp_path)) is HuSCFLocal


def _lightest(settings):
    return Cut(1, 1, 5, 0) if "privacy.local_discriminator" in settings else Cut()
