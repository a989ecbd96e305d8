"""A ledger that a team shares, through the command line: assess, reuse, verify, export, import, migrate, prune, and no password anywhere."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.services import PASSWORD, Postgres
from tests.unit.ledger.forgery import rows

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HOWTO = EXAMPLES.parent / "docs" / "how-to" / "shared-ledger.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example of untrusted downloads, as a project with a configuration."""
    folder = tmp_path / "untrusted"
    subprocess.run([sys.executable, EXAMPLES / "untrusted" / "build.py", folder], check=True, capture_output=True)
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: untrusted\n")
    return folder


@pytest.fixture
def schema(postgres: Postgres) -> str:
    return postgres.new_url().rpartition("=")[2]


def everything_written(*folders: Path) -> bytes:
    return b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())


def test_two_assessments_share_evidence_and_no_password_is_shown(helio, project, postgres, schema, tmp_path):
    url = f"{postgres.password_url}?schema={schema}"
    first = helio("assess", project, "--ledger", url, "--format", "json")
    assert first.code == 1, first.err
    assert first.json()["ledger"]["location"] == f"{postgres.loopback_url}?schema={schema}"
    colleague = {"HELIOTROPE_STATE_HOME": str(tmp_path / "colleague"), "HELIOTROPE_LEDGER": url}
    second = helio("assess", project, "--format", "json", env=colleague)
    runs = second.json()["runs"]
    assert any(run["reused_from"] for run in runs)
    assert {run["id"] for run in first.json()["runs"]} & {run["reused_from"] for run in runs}
    assert second.json()["difference"]["previous"] == first.json()["id"]
    table = helio("assess", project, env=colleague)
    assert f"{schema}" in re.sub(r"\s", "", table.out)
    verified = helio("ledger", "verify", "--head", second.json()["ledger"]["head"], env=colleague)
    assert verified.code == 0, verified.err
    shown = "".join(said.out + said.err for said in (first, second, table, verified))
    shown += helio("config", "explain", project, "--ledger", url).out
    written = everything_written(project, Path(os.environ["HELIOTROPE_STATE_HOME"]), tmp_path / "colleague")
    stored = str(rows(f"{postgres.socket_url}&schema={schema}", "SELECT convert_from(body, 'UTF8') FROM contents"))
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in shown + stored
        assert secret.encode() not in written
    assert not (project / ".heliotrope" / "ledger.db").exists()


def test_errors_keep_the_password_to_themselves(helio, project, postgres, schema):
    wrong = postgres.password_url.replace(quote(PASSWORD, safe=""), "SECRET")
    for url in (
        f"{wrong}?schema={schema}",
        f"{wrong}x?schema={schema}",
        f"{wrong}?nonsense=1",
        wrong.replace("127.0.0.1", "host.invalid"),
        wrong.replace("://", ":/"),
        wrong.replace("postgresql:", "mysql:"),
    ):
        for arguments in (("assess", project, "--ledger", url), ("ledger", "verify", "--ledger", url, "--debug")):
            said = helio_with_traceback(*arguments)
            assert said.returncode in (1, 2, 3), said.stderr
            assert "SECRET" not in said.stdout + said.stderr
    said = helio("assess", project, env={"HELIOTROPE_LEDGER": f"{wrong}\x1b"})
    assert (said.code, "SECRET" in said.err) == (2, False)


def helio_with_traceback(*arguments):
    from tests.e2e.conftest import HELIO

    return subprocess.run([HELIO, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_changed_record_on_the_server_is_named(helio, project, postgres, schema):
    from tests.unit.ledger.forgery import forging

    url = f"{postgres.socket_url}&schema={schema}"
    helio("assess", project, "--ledger", url, "-q")
    with forging(url) as connection:
        connection.execute("UPDATE events SET time = '2020-01-01T00:00:00.000Z' WHERE sequence = 2")
    said = helio("ledger", "verify", "--ledger", url)
    assert said.code == 1
    assert "record 2" in said.err
    assert helio("assess", project, "--ledger", url).code == 1


def test_a_project_that_names_a_ledger_itself_is_refused(helio, project, postgres, schema):
    """A repository must not choose where evidence about it comes from."""
    with (project / "heliotrope.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\nledger: {postgres.socket_url}&schema={schema}\n")
    assert helio("assess", project).code == 2


def test_from_the_project_to_the_server_and_back(helio, project, postgres, schema, tmp_path):
    helio("assess", project, "-q")
    url = f"{postgres.socket_url}&schema={schema}"
    exported = helio("ledger", "export", tmp_path / "file", project, "--blobs", "--format", "json").json()
    imported = helio("ledger", "import", tmp_path / "file", "--ledger", url, "--format", "json").json()
    assert imported["head"] == exported["head"]
    again = helio("ledger", "export", tmp_path / "again", "--blobs", "--ledger", url)
    assert exported["digest"] in again.out
    moved = helio("assess", project, "--ledger", url, "--format", "json").json()
    assert all(run["reused_from"] for run in moved["runs"] if run["outcome"] in ("passed", "failed"))
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data[:-100])
    said = helio("ledger", "import", tmp_path / "file", "--ledger", tmp_path / "new.db")
    assert (said.code, said.err.count("error[")) == (3, 1)
    assert "at byte" in said.err
    assert helio("ledger", "import", tmp_path / "again").code == 2
    assert helio("ledger", "import", tmp_path / "again", "--ledger", url).code == 3


def test_migrating_there_and_back(helio, project, postgres, schema):
    for place in (["--ledger", f"{postgres.socket_url}&schema={schema}"], []):
        helio("assess", project, "-q", *place)
        head = helio("ledger", "verify", project, "--format", "json", *place).json()["head"]
        assert "from format 2 to 1" in helio("ledger", "migrate", project, "--to", 1, *place).out
        assert helio("ledger", "verify", project, "--head", head, *place).code == 0
        said = helio("ledger", "prune", project, "--keep-days", 0, "--yes", *place)
        assert said.code in (0, 3)
        assert "from format 1 to 2" in helio("ledger", "migrate", project, *place).out
        assert helio("ledger", "verify", project, "--head", head, *place).code == 0
        assert helio("ledger", "migrate", project, "--to", 9, *place).code == 2


def test_pruning_asks_and_says_what_it_did(helio, project, postgres, schema):
    place = ["--ledger", f"{postgres.socket_url}&schema={schema}"]
    for _ in range(3):
        helio("assess", project, "--fresh", "-q", *place)
    asked = helio("ledger", "prune", "--keep-days", "0", *place)
    assert asked.code == 2
    assert "--yes" in asked.err
    planned = helio("ledger", "prune", "--keep-days", "0", "--dry-run", "--format", "json", *place).json()
    assert planned["planned"]["contents"] > 0
    assert planned["removed"]["contents"] == 0
    done = helio("ledger", "prune", "--keep-days", "0", "--yes", *place)
    assert done.code == 0, done.err
    assert f"removed {planned['planned']['contents']} content" in done.out
    verified = helio("ledger", "verify", *place)
    assert verified.code == 0, verified.err
    assert "removed under retention" in verified.out
    assert "@" in verified.out
    document = helio("ledger", "verify", "--format", "json", *place).json()
    assert document["retentions"][0]["contents"] == planned["planned"]["contents"]
    assert "nothing is old enough" in helio("ledger", "prune", "--keep-days", "0", "--yes", *place).out
    last = helio("assess", project, "--baseline", "last", "--format", "json", *place)
    assert last.code in (0, 1, 3), last.err
    assert any(run["reused_from"] for run in last.json()["runs"])


def test_the_how_to_works_as_typed(helio, project, postgres, schema, tmp_path):
    """The commands of the page, in its order, in one shell."""
    blocks = re.findall(r"```console\n(.*?)```", HOWTO.read_text("utf-8"), re.DOTALL)
    commands = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 10
    from tests.e2e.conftest import HELIO

    postgres.execute("DROP ROLE IF EXISTS ml", "DROP ROLE IF EXISTS ci")
    script = "\n".join(["set -eu", *commands])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=project,
        env={
            "PATH": f"{HELIO.parent}:{postgres.programs}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PGHOST": str(postgres.folder),
            "PGPORT": str(postgres.port),
            "PGUSER": postgres.user,
            "HELIOTROPE_STATE_HOME": str(tmp_path / "state"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "the chain holds" in done.stdout
