import pytest

from tests.commands.animals import TEST, TRAIN
from tests.commands.invoking import run_demo, succeeded
from tests.data.formats.writing import write_pictures
from tests.run.builders import write_domains
from tests.run.pictures import little_drawn


@pytest.fixture(autouse=True)
def few_pictures():
    """Of a test's own runs; those that tests share are made before, with all that there is to draw."""
    with little_drawn():
        yield


@pytest.fixture
def animals(tmp_path):
    """A folder of pictures of ants, bees and cows."""
    write_pictures(tmp_path / "animals" / "train", TRAIN, names=("ant", "bee", "cow"))
    write_pictures(tmp_path / "animals" / "test", TEST, names=("ant", "bee", "cow"))
    return tmp_path / "animals"


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder with two domains, and the cache of their judges."""
    return write_domains(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def trained(images, tmp_path_factory):
    """The folder of a run of two clusters, and what the command showed."""
    output = tmp_path_factory.mktemp("runs")
    shown = succeeded(run_demo(images, output, **{"huscf.clusters": 2}))
    return output / "small", shown
