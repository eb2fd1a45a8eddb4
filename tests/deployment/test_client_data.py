import shutil

import pytest
import torch

from huscf_flwr.data import load_domain, population_of, read_idx_folder
from huscf_flwr.deployment import write_client_data
from huscf_flwr.models import model_spec_of
from tests.data.formats.writing import some, write_pictures
from tests.run.builders import DOMAINS, small_run, write_domains


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


@pytest.fixture
def config(images, tmp_path):
    return small_run(images, tmp_path)


def test_a_client_finds_the_images_that_it_has_in_a_simulation_in_their_order(config, tmp_path):
    population = population_of(config, model_spec_of(config))
    folders = write_client_data(config, tmp_path / "data").paths
    assert list(folders) == [0, 1, 2, 3]
    for client, folder in folders.items():
        train, _ = read_idx_folder(folder)
        expected = population.images_of(client)
        assert torch.equal(train.images, expected.images)
        assert torch.equal(train.labels, expected.labels)


def test_every_test_image_of_a_domain_goes_to_one_of_its_clients(config, tmp_path, images):
    folders = write_client_data(config, tmp_path / "data").paths
    for name, clients in zip(DOMAINS, ((0, 1), (2, 3)), strict=True):
        whole = load_domain(name, root=images, cache=tmp_path, image=(1, 28)).test.images
        parts = torch.cat([read_idx_folder(folders[client])[1].images for client in clients])
        assert sorted(image.numpy().tobytes() for image in parts) == sorted(
            image.numpy().tobytes() for image in whole
        )


def test_folders_of_an_earlier_run_are_replaced_only_on_demand(images, config, tmp_path):
    (folder, *_) = write_client_data(config, tmp_path / "data").paths.values()
    before, _ = read_idx_folder(folder)
    again = small_run(images, tmp_path, seed=1)
    with pytest.raises(FileExistsError, match=r"client-0 is there already, with t10k-images.* --force"):
        write_client_data(again, tmp_path / "data")
    assert torch.equal(read_idx_folder(folder)[0].images, before.images)
    (folder, *_) = write_client_data(again, tmp_path / "data", replace=True).paths.values()
    after, _ = read_idx_folder(folder)
    assert not torch.equal(before.images, after.images)


def test_nothing_is_written_where_any_of_the_folders_has_something_in_it(config, tmp_path):
    (tmp_path / "data" / "client-3").mkdir(parents=True)
    (tmp_path / "data" / "client-3" / "photo.jpg").touch()
    with pytest.raises(FileExistsError, match=r"client-3 is there already, with photo\.jpg in it"):
        write_client_data(config, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["client-3"]


def test_of_a_link_only_the_link_is_replaced(config, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "photo.jpg").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "client-0").symlink_to(tmp_path / "photos")
    folders = write_client_data(config, tmp_path / "data", replace=True).paths
    read_idx_folder(folders[0])
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["photo.jpg"]


def test_a_smaller_partition_leaves_no_client_of_a_larger_one(images, config, tmp_path):
    """Even where each of its own folders would be free."""
    write_client_data(config, tmp_path / "data")
    fewer = small_run(images, tmp_path, seed=1, clients=2)
    shutil.rmtree(tmp_path / "data" / "client-0")
    shutil.rmtree(tmp_path / "data" / "client-1")
    with pytest.raises(FileExistsError, match=r"client-2 is there already"):
        write_client_data(fewer, tmp_path / "data")
    (tmp_path / "data" / "client-notes.txt").touch()
    write_client_data(fewer, tmp_path / "data", replace=True)
    kept = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert kept == ["client-0", "client-1", "client-notes.txt"]


def test_what_is_done_with_images_and_how_classes_are_called_is_told(tmp_path):
    """Of a domain without test images, of which nobody holds the half, and whose network has more classes."""
    write_pictures(tmp_path / "animals", some(60, size=28), names=("ant", "bee", "cow"))
    (tmp_path / "mine.yaml").write_text("domains: [animals]\nsizes: {fractions: [0.5]}\n")
    own = {"data.scenario": tmp_path / "mine.yaml", "data.domains": "null", "clients": 2}
    written = write_client_data(
        small_run(tmp_path, tmp_path, **own, **{"model.classes": 3}), tmp_path / "data"
    )
    assert written.class_names == dict.fromkeys((0, 1), ("ant", "bee", "cow"))
    for said in ("test", "training images that no client holds"):
        assert any(said in note for note in written.notes), written.notes
    more = small_run(tmp_path, tmp_path, **own, **{"model.classes": 10})
    assert write_client_data(more, tmp_path / "data", replace=True).class_names == {}
