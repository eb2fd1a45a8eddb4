import pytest

from tests.run.builders import write_domains
from tests.run.pictures import little_drawn


@pytest.fixture(autouse=True, scope="package")
def few_pictures():
    with little_drawn():
        yield


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder with two domains, and the cache of their judges."""
    return write_domains(tmp_path_factory.mktemp("images"))
