import pytest

from tests.run.pictures import plainly_drawn


@pytest.fixture(autouse=True, scope="package")
def few_pictures():
    """Generators are measured as ever: they are attacked too."""
    with plainly_drawn():
        yield
