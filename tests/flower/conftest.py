import pytest

from tests.run.builders import write_domains


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder with two domains, and the cache of their judges."""
    return write_domains(tmp_path_factory.mktemp("images"))
