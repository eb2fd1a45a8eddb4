"""A SuperNode whose owner demands privacy takes no part in a run without it."""

import pytest

from huscf_flwr.flower import required_privacy
from huscf_flwr.flower.messages import (
    DESCRIBE,
    EVALUATE,
    JOIN,
    PROTOCOL,
    DescribeRequest,
    EvaluateRequest,
    Invitation,
)
from huscf_flwr.flower.owner import owner_of
from huscf_flwr.flower.required_privacy import RefusedSessionError, check_required_privacy, conditions
from huscf_flwr.methods.contract import Orders
from huscf_flwr.methods.huscf.crossing import WindowOrder
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.session import SessionError
from huscf_flwr.session.wire import ExecutorServer
from tests.flower.grid_runs import contents, owners, run
from tests.flower.handlers import Service, ask, context, evaluation_of
from tests.run.builders import METHODS, UNJUDGED, small_run

DEMANDED = "local-discriminator"
INVITATION = Invitation(protocol=PROTOCOL)
LOCAL = METHODS["huscf-local-discriminator"]
REFUSED = (
    r"^require-privacy is local-discriminator, but the run has privacy.local_discriminator = false, .*; run "
    "with it set to true, or without this SuperNode$"
)


@pytest.fixture
def server():
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()


def test_it_neither_joins_nor_describes_its_client(images, tmp_path):
    where = context(small_run(images, tmp_path), require_privacy=DEMANDED)
    for content, message_type in (
        (INVITATION, JOIN),
        (DescribeRequest(clients=(0,)), DESCRIBE),
    ):
        with pytest.raises(RefusedSessionError, match=REFUSED):
            ask(content.to_records(), message_type, where)


def test_an_order_of_another_placement_is_refused_and_the_executor_is_told_at_once(images, tmp_path, server):
    config = small_run(images, tmp_path, **{"model.width": 0.03})
    service = Service(config, server, {0: 30})
    with pytest.raises(RefusedSessionError, match=REFUSED):
        service.ask(service.request(), context(config, require_privacy=DEMANDED))
    assert service.session.dropped[0].reason == "RefusedSessionError"


def test_it_trains_where_it_has_what_is_demanded_but_by_no_order_that_lets_images_cross(
    images, tmp_path, server, monkeypatch
):
    monkeypatch.setattr(required_privacy, "LEAST_OBSERVED", 1)
    config = small_run(images, tmp_path, **LOCAL, **{"model.width": 0.03})
    where = context(config, require_privacy=f" {DEMANDED} ")
    service = Service(config, server, {0: 30})
    reply = service.ask(service.request(), where)
    assert set(reply.uploads) == {0}

    service = Service(config, server, {0: 30})
    (order,) = service.rounds.method.orders(1, [0]).clients.values()
    other = type(order)(facts=WindowOrder(cut=(1, 1, 1, 1), observed=(1, 1)), tensors=order.tensors)
    with pytest.raises(ValueError, match="which does not keep the whole discriminator"):
        service.ask(service.request(orders=Orders(clients={0: other})), where)


def test_the_server_cannot_lower_how_many_images_statistics_are_of(images, tmp_path):
    """They are part of what the owner counts on, and the run's configuration is the server's."""
    for least, refused in ((99, True), (100, False)):
        config = small_run(images, tmp_path, **{**LOCAL, "privacy.min_observed": least})
        where = context(config, require_privacy=DEMANDED)
        if refused:
            with pytest.raises(
                RefusedSessionError, match=r"the run has privacy.min_observed = 99, .* than 100"
            ):
                check_required_privacy(where, config)
        else:
            check_required_privacy(where, config)


def test_an_owner_who_limits_epsilon_takes_no_part_in_a_run_without_one(images, tmp_path):
    where = context(small_run(images, tmp_path), largest_epsilon="2")
    with pytest.raises(
        RefusedSessionError, match=r"largest-epsilon is 2, but the run has no privacy\.epsilon"
    ):
        ask(INVITATION.to_records(), JOIN, where)
    with pytest.raises(ValueError, match="largest-epsilon is none"):
        ask(
            Invitation(protocol=PROTOCOL).to_records(),
            JOIN,
            context(small_run(images, tmp_path), largest_epsilon="none"),
        )


def test_noise_is_secret_and_epsilon_no_more_than_the_owner_allows_whatever_the_server_says(images, tmp_path):
    config = small_run(images, tmp_path, **METHODS["huscf-private"])
    given = {"client_id": 0, "data_folder": str(tmp_path)}
    for limit, expected in (("2", 2.0), ("80", config.privacy.epsilon)):
        privacy = owner_of(context(config, **given, largest_epsilon=limit)).own_settings(config).privacy
        assert (privacy.noise, privacy.epsilon) == ("secret", expected)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 1e-3),
        ({"largest_epsilon": "2"}, 1e-5),
        ({"largest_epsilon": "2", "largest_delta": "1e-4"}, 1e-4),
        ({"largest_delta": "0.5"}, 1e-3),
    ],
)
def test_delta_is_no_more_than_the_owner_allows_and_small_where_epsilon_is_limited(
    images, tmp_path, limits, expected
):
    config = small_run(images, tmp_path, **METHODS["huscf-private"], **{"privacy.delta": 1e-3})
    given = {"client_id": 0, "data_folder": str(tmp_path)}
    assert owner_of(context(config, **given, **limits)).own_settings(config).privacy.delta == expected


def test_a_limit_of_delta_that_is_no_probability_or_has_no_epsilon_is_refused(images, tmp_path):
    config = small_run(images, tmp_path)
    with pytest.raises(ValueError, match="largest-delta is 1, but must be a number above 0 and below 1"):
        check_required_privacy(context(config, largest_delta="1"), config)
    with pytest.raises(RefusedSessionError, match=r"largest-delta is 0\.01, but the run has no privacy"):
        check_required_privacy(context(config, largest_delta="0.01"), config)


@pytest.mark.slow
def test_a_device_remembers_what_was_spent_in_other_trainings_and_leaves_when_it_is_all(
    images, tmp_path, server
):
    config = small_run(images, tmp_path, rounds=1, **METHODS["huscf-private"], **{"model.width": 0.03})
    node = {key.replace("-", "_"): value for key, value in owners(images, tmp_path)[200].items()}
    service = Service(config, server, {0: 30})
    assert set(service.ask(service.request(), context(config, **node)).uploads) == {0}

    node["client_id"] = 1
    service = Service(config, server, {1: 30})
    with pytest.raises(SessionError, match=r"client 1: of privacy\.epsilon 5 at delta 1e-05, .* is spent"):
        service.ask(service.request(), context(config, **node))


@pytest.mark.slow
def test_a_run_goes_on_without_it(images, tmp_path):
    config = small_run(images, tmp_path, method="fedgan", rounds=1, **UNJUDGED)
    nodes = owners(images, tmp_path)
    nodes[201]["require-privacy"] = DEMANDED
    grid = run(config, nodes)
    assert [[client["id"] for client in line["clients"]] for line in read_metrics(config.folder)] == [[0]]
    assert len(contents(grid, "train")) == 1


def test_a_demand_that_is_no_setting_is_named(images, tmp_path):
    config = small_run(images, tmp_path)
    with pytest.raises(ValueError, match=r"'local-discriminater' .*mean 'local-discriminator'.*: there are"):
        check_required_privacy(context(config, require_privacy="local-discriminater"), config)
    check_required_privacy(context(config), config)


def test_a_demand_that_is_no_setting_is_told_before_what_the_run_lacks(images, tmp_path):
    """An owner who misspelt one of two would otherwise mend the run, and be refused again."""
    config = small_run(images, tmp_path)
    with pytest.raises(ValueError, match=r"require-privacy: 'detect-tempering'"):
        check_required_privacy(context(config, require_privacy=f"{DEMANDED},detect-tempering"), config)


@pytest.mark.parametrize("demanded", ["local-discriminator", "detect-tampering"])
def test_a_run_whose_method_cannot_have_it_is_not_told_to_set_it(images, tmp_path, demanded):
    """`privacy.local_discriminator=true` would be refused there."""
    refused = r"; method fedgan cannot have it: take method huscf, or run without this SuperNode$"
    config = small_run(images, tmp_path, method="fedgan")
    with pytest.raises(RefusedSessionError, match=refused):
        check_required_privacy(context(config, require_privacy=demanded), config)


@pytest.mark.parametrize("demanded", [DEMANDED, "detect-tampering", "uniform-labels"])
def test_what_is_demanded_is_looked_at_whatever_message_comes(images, tmp_path, server, demanded):
    """That a device has joined binds nobody: each message comes with the settings of the run."""
    config = small_run(images, tmp_path, **{"model.width": 0.03})
    where, service = context(config, require_privacy=demanded), Service(config, server, {0: 30})
    with pytest.raises(RefusedSessionError, match=f"require-privacy is {demanded}"):
        service.ask(service.request(), where)
    evaluate = EvaluateRequest(evaluation_of(), 1, 0).to_records(service.method)
    described = DescribeRequest(clients=(0,)).to_records()
    for content, message_type in (
        (INVITATION.to_records(), JOIN),
        (described, DESCRIBE),
        (evaluate, EVALUATE),
    ):
        with pytest.raises(RefusedSessionError, match=f"require-privacy is {demanded}"):
            ask(content, message_type, where)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, []),
        ({"require-privacy": "uniform-labels"}, ["fake_labels = uniform"]),
        (
            {"require-privacy": DEMANDED, "largest-delta": 1e-6},
            ["privacy.local_discriminator = true", "privacy.min_observed >= 100", "privacy.epsilon"],
        ),
    ],
)
def test_what_a_run_must_have_can_be_told_without_one(said, expected):
    assert conditions(said) == expected


def test_an_owner_may_demand_that_fakes_tell_nothing_of_its_labels(images, tmp_path):
    where = {"require_privacy": f"{DEMANDED}, uniform-labels"}
    for labels in ("uniform", "own-mix"):
        config = small_run(images, tmp_path, **{**LOCAL, "fake_labels": labels, "privacy.min_observed": 100})
        if labels == "uniform":
            check_required_privacy(context(config, **where), config)
            continue
        refused = (
            r"^require-privacy is uniform-labels, but the run has fake_labels = own-mix, .* set to uniform"
        )
        with pytest.raises(RefusedSessionError, match=refused):
            check_required_privacy(context(config, **where), config)


def test_what_sends_more_when_it_is_true_cannot_be_demanded(images, tmp_path):
    """`privacy.send_losses` is true by default."""
    config = small_run(images, tmp_path)
    with pytest.raises(
        ValueError, match=r"'send-losses': there are local-discriminator, detect-tampering, uniform-labels$"
    ):
        check_required_privacy(context(config, require_privacy="send-losses"), config)
