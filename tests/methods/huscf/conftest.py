import pytest

from tests.run.pictures import little_drawn


@pytest.fixture(autouse=True, scope="package")
def few_pictures():
    with little_drawn():
        yield
