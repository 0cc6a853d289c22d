import pytest
from library import app as library

from quintet import App


@pytest.fixture
def app() -> App:
    return library
