import pytest
import torch

from huscf_flwr.data import load_domain, population_of, read_idx_folder
from huscf_flwr.deployment import write_client_data
from huscf_flwr.models import model_spec_of
from tests.run.builders import DOMAINS, small_run, write_domains


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


@pytest.fixture
def config(images, tmp_path):
    return small_run(images, tmp_path)


def test_a_client_finds_the_images_that_it_has_in_a_simulation_in_their_order(config, tmp_path):
    population = population_of(config, model_spec_of(config))
    folders = write_client_data(config, tmp_path / "data")
    assert list(folders) == [0, 1, 2, 3]
    for client, folder in folders.items():
        train, _ = read_idx_folder(folder)
        expected = population.images_of(client)
        assert torch.equal(train.images, expected.images)
        assert torch.equal(train.labels, expected.labels)


def test_every_test_image_of_a_domain_goes_to_one_of_its_clients(config, tmp_path, images):
    folders = write_client_data(config, tmp_path / "data")
    for name, clients in zip(DOMAINS, ((0, 1), (2, 3)), strict=True):
        whole = load_domain(name, root=images, cache=tmp_path, image=(1, 28)).test.images
        parts = torch.cat([read_idx_folder(folders[client])[1].images for client in clients])
        assert sorted(image.numpy().tobytes() for image in parts) == sorted(
            image.numpy().tobytes() for image in whole
        )


def test_folders_of_an_earlier_run_are_replaced(images, config, tmp_path):
    (folder, *_) = write_client_data(config, tmp_path / "data").values()
    before, _ = read_idx_folder(folder)
    (folder, *_) = write_client_data(small_run(images, tmp_path, seed=1), tmp_path / "data").values()
    after, _ = read_idx_folder(folder)
    assert not torch.equal(before.images, after.images)
