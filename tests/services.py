"""Programs outside Python that tests run against: the real thing, on a free port, with files that go away."""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

__all__ = [
    "PASSWORD",
    "Postgres",
    "installed_programs",
    "kind_of_database",
    "new_place",
    "place",
    "postgres",
    "postgres_server",
    "served",
]

PASSWORD = "open sesame: §@/%"
_NUMBERS = itertools.count(1)


@dataclass
class Postgres:
    """A server that tests may stop, kill and start again."""

    folder: Path
    programs: Path
    user: str
    port: int

    @property
    def socket_url(self) -> str:
        """The test database over the Unix socket, where anybody is let in."""
        return f"postgresql://{self.user}@/heliotrope?host={self.folder}&port={self.port}"

    @property
    def loopback_url(self) -> str:
        """The test database over TCP, where the password is asked for and not given."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/heliotrope"

    @property
    def password_url(self) -> str:
        """The same with the password in it."""
        return f"postgresql://{self.user}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/heliotrope"

    def new_url(self) -> str:
        """A place for a ledger that nobody has used."""
        return f"{self.socket_url}&schema=t{os.getpid()}_{next(_NUMBERS)}"

    def start(self) -> None:
        options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=60"
            " -c shared_buffers=16MB -c max_wal_size=256MB -c autovacuum=off"
        )
        self._control("-w", "-t", "60", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is what a crash of the machine does: nothing is written down any more."""
        self._control("-w", "-m", mode, "stop")

    def execute(self, *statements: str, database: str = "heliotrope") -> list[tuple[object, ...]]:
        """Run statements as the superuser, each on its own; rows of the last."""
        import psycopg

        rows: list[tuple[object, ...]] = []
        with psycopg.connect(
            host=str(self.folder), port=self.port, user=self.user, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def _control(self, *arguments: str) -> None:
        run_as_service([str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), *arguments])


def run_as_service(command: list[str]) -> None:
    """Run a program of the server's; it refuses to be root."""
    user = "postgres" if os.geteuid() == 0 else None
    done = subprocess.run(
        command,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        pytest.fail(f"{command[0]} failed: {done.stdout[-2000:]}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server for the whole session; tests that stop it start it again."""
    programs = installed_programs()
    if programs is None:
        reason = "no PostgreSQL server is installed (apt-get install postgresql)"
        if os.environ.get("HELIOTROPE_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with served(programs) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """The server, running."""
    yield postgres_server
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", postgres_server.port), timeout=5).close()
        return
    postgres_server.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind_of_database(request: pytest.FixtureRequest) -> str:
    """What is not about a file must hold for both."""
    return str(request.param)


@pytest.fixture
def new_place(kind_of_database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Path | str]:
    """Gives places for ledgers, one after the other, on either database."""
    if kind_of_database == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_url
    return lambda: tmp_path / f"ledger-{next(_NUMBERS)}.db"


@pytest.fixture
def place(new_place: Callable[[], Path | str]) -> Path | str:
    """A place for a ledger on either database."""
    return new_place()


@contextlib.contextmanager
def served(programs: Path) -> Iterator[Postgres]:
    """A server as long as the context lasts."""
    folder = Path(tempfile.mkdtemp(prefix="helio-pg-"))
    if os.geteuid() == 0:
        found = pwd.getpwnam("postgres")
        os.chown(folder, found.pw_uid, found.pw_gid)
    user = "keeper"
    secret = folder / "secret"
    secret.write_text(PASSWORD + "\n", "utf-8")
    secret.chmod(0o644)
    server = Postgres(folder, programs, user, _free_port())
    try:
        run_as_service(
            [
                *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", user, "-E", "UTF8", "--no-locale"),
                *("--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"),
            ]
        )
        server.start()
        server.execute("CREATE DATABASE heliotrope", database="postgres")
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def installed_programs() -> Path | None:
    """The folder of the newest server that is installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = shutil.which("initdb")
    for place in [*places, *([Path(found).resolve().parent] if found else [])]:
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
