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
