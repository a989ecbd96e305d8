"""What every test may rely on: a home of its own, no network, and where third-party data is."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import settings

from tests.services import kind_of_database, new_place, place, postgres, postgres_server  # noqa: F401 - fixtures

settings.register_profile("heliotrope", deadline=None)  # two busy cores make timings jump
settings.load_profile("heliotrope")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configuration and state of the person who runs the tests stay untouched."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HELIOTROPE_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(home / "state"))
    for name in list(os.environ):
        if name.startswith(("HELIOTROPE_", "PG")) and name not in _KEPT:
            monkeypatch.delenv(name)
    return home


_KEPT = {
    "HELIOTROPE_TEST_DATA",
    "HELIOTROPE_REQUIRE_SERVICES",
    "HELIOTROPE_UPDATE_GOLDEN",
    "HELIOTROPE_CONFIG_HOME",
    "HELIOTROPE_STATE_HOME",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a test tried to connect to {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Third-party data; without it the test skips and says so."""
    named = os.environ.get("HELIOTROPE_TEST_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("HELIOTROPE_TEST_DATA is not set: third-party data is not at hand")
    return Path(named)
