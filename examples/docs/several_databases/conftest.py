import pytest
from shop import app as shop

from quintet import App


@pytest.fixture
def app() -> App:
    return shop
