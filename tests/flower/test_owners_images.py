"""An owner's images, of which the server knows nothing: what it kept is for those only that it came from."""

import shutil

import pytest
import torch

from huscf_flwr.data import LabelledImages, read_idx_folder, write_idx_folder
from huscf_flwr.flower import owner as owner_module
from huscf_flwr.run.client_files import (
    OtherImagesError,
    check_images,
    folder_for_images,
    save_private,
)
from huscf_flwr.run.run_folder import read_metrics
from huscf_flwr.session.wire import ExecutorServer
from tests.flower.grid_runs import dropped_in, hosts, owners, run, trained_in, training_of
from tests.flower.handlers import Service, context, trained
from tests.run.builders import METHODS, UNJUDGED, small_run


@pytest.fixture
def server():
    server = ExecutorServer("127.0.0.1:0")
    yield server
    server.stop()


def paint_over(folder):
    """Change an owner's training images, as between two messages, each of which has a process of its own."""
    train, test = read_idx_folder(folder)
    shutil.rmtree(folder)
    write_idx_folder(folder, LabelledImages(255 - train.images, train.labels), test)
    owner_module._load.cache_clear()


def keep(folder, images, number, before):
    """What client 3 keeps after a round, having learned of images known by a hash."""
    place = folder_for_images(folder, images)
    tensors = {"x": torch.full((2,), float(number))}
    return save_private(tensors, place, 3, number, before=before, keep_last=5)


def test_of_what_images_was_learned_is_known_for_each_round_that_is_kept(tmp_path):
    """Rounds 1 and 3 are of the first images, 2 of others: a run went on from round 1 with these."""
    folder, first, second = tmp_path / "training", "ab" * 32, "cd" * 32
    ones = keep(folder, first, 1, None)
    twos, threes = keep(folder, second, 2, ones), keep(folder, first, 3, ones)
    for kept, images, other in ((ones, first, second), (twos, second, first), (threes, first, second)):
        check_images(folder, 3, kept, images)
        with pytest.raises(
            OtherImagesError, match=rf"client 3: .* until round {kept.round}; .* remove training in its state"
        ) as caught:
            check_images(folder, 3, kept, other)
        assert str(tmp_path) not in str(caught.value)
    check_images(folder, 4, ones, second)


@pytest.mark.parametrize("method", ["huscf", "fedgan"])
def test_the_message_is_refused_until_the_owner_starts_anew(images, tmp_path, caplog, method, server):
    folder, state = shutil.copytree(images / "digits", tmp_path / "own"), tmp_path / "state"
    own = {"client_id": 0, "data_folder": str(folder), "state_folder": str(state)}
    config = small_run(images, tmp_path, **METHODS[method])
    service = Service(config, server, {0: 60})
    _, kept = trained(service, context(config, **own))
    paint_over(folder)
    with pytest.raises(OtherImagesError, match="client 0: its training images are not those"):
        service.ask(service.request(kept=kept), context(config, **own))
    shutil.rmtree(state / service.rounds.training)
    service = Service(config, server, {0: 60})
    trained(service, context(config, **own), kept=kept)
    assert caplog.records[-1].getMessage().endswith("it starts anew")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["huscf", "fedgan"])
def test_that_client_drops_out_with_this_reason_and_the_others_go_on(images, tmp_path, method):
    shutil.copytree(images, tmp_path / "images")
    for rounds, resume in ((1, {}), (2, {"resume": tmp_path / "x"})):
        settings = {"name": "x", "rounds": rounds, **METHODS[method], **UNJUDGED, **resume}
        config = small_run(images, tmp_path, **settings)
        run(config, {**owners(tmp_path / "images", tmp_path), **hosts(1)})
        if rounds == 1:
            paint_over(tmp_path / "images" / "digits")
    assert trained_in(config) == [[0, 1, 2, 3], [1, 2, 3]]
    assert dropped_in(config) == [[], [0]]
    reason = read_metrics(config.folder)[-1]["drop_outs"][0]["reason"]
    assert "client 0: its training images are not those that it was trained on before" in reason
    assert training_of(config) in reason
    assert str(tmp_path) not in reason
