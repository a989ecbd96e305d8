import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ledger", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """This user's own state folder, for one test."""
    folder = tmp_path / "state"
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def path(tmp_path):
    """A place for a ledger in a file."""
    return tmp_path / "ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def kind_of_database(request):
    return request.param


@pytest.fixture
def new_place(kind_of_database, request, tmp_path):
    """Gives places for ledgers, one after the other, on either database."""
    if kind_of_database == "postgresql":
        return request.getfixturevalue("postgres_server").new_url
    numbers = iter(range(10**6))
    return lambda: tmp_path / f"ledger-{next(numbers)}.db"


@pytest.fixture
def place(new_place):
    """A place for a ledger on either database: what is not about a file must hold for both."""
    return new_place()
