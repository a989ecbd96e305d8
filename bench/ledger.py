"""How fast the ledger appends and verifies, on the disk this checkout is on."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from heliotrope.core.evidence import Statement, statement
from heliotrope.core.predicates.inventory import INVENTORY_PREDICATE, InventoryFile, InventoryPredicate
from heliotrope.core.records import canonical_bytes, sha256_hex
from heliotrope.core.subjects import Artifact
from heliotrope.ledger import Entry, open_ledger

__all__ = ["main"]

_BATCH = 100
_BATCHES = 60
_ROUNDS = 3
_CHECKOUT = Path(__file__).resolve().parent.parent


def main() -> list[dict[str, str | float]]:
    """Rows of name, value, unit and target. Values are wall time, best of three rounds: other load is not the ledger's."""
    folder = Path(tempfile.mkdtemp(prefix=".bench-ledger-", dir=_CHECKOUT))
    os.environ.setdefault("HELIOTROPE_STATE_HOME", str(folder / "state"))
    try:
        rounds = [_round(folder / f"ledger-{number}.db", number) for number in range(_ROUNDS)]
    finally:
        shutil.rmtree(folder)
    size = len(canonical_bytes(_evidence(0)))
    return [*_file_rows(rounds, size), *_server_rows(size)]


def _file_rows(rounds: list[tuple[float, float]], size: int) -> list[dict[str, str | float]]:
    return [
        {
            "name": f"evidence appends, batches of {_BATCH}, synchronous=FULL, {size} bytes each",
            "value": max(appends for appends, _ in rounds),
            "unit": "records/s",
            "target": ">= 2000",
        },
        {
            "name": f"verify {_BATCH * _BATCHES} records",
            "value": max(verified for _, verified in rounds),
            "unit": "records/s",
            "target": ">= 20000",
        },
    ]


def _server_rows(size: int) -> list[dict[str, str | float]]:
    """The same on a server of its own over a Unix socket, its files in the folder for temporary files; none without one."""
    sys.path.insert(0, str(_CHECKOUT))
    from tests.services import installed_programs, served

    programs = installed_programs()
    if programs is None:
        print("ledger: no PostgreSQL server is installed: its rows are left out")
        return []
    with tempfile.TemporaryDirectory() as state, served(programs) as server:
        os.environ["HELIOTROPE_STATE_HOME"] = state
        rounds = [_round(server.new_url(), number) for number in range(_ROUNDS)]
    return [
        {
            "name": f"PostgreSQL: evidence appends, batches of {_BATCH}, synchronous_commit=on, {size} bytes each",
            "value": max(appends for appends, _ in rounds),
            "unit": "records/s",
            "target": "",
        },
        {
            "name": f"PostgreSQL: verify {_BATCH * _BATCHES} records",
            "value": max(verified for _, verified in rounds),
            "unit": "records/s",
            "target": "",
        },
    ]


def _round(path: Path | str, number: int) -> tuple[float, float]:
    first = number * _BATCH * _BATCHES
    statements = [_evidence(first + index) for index in range(_BATCH * _BATCHES)]
    with open_ledger(path, create=True) as ledger:
        began = time.perf_counter()
        for start in range(0, len(statements), _BATCH):
            ledger.append([_entry(item) for item in statements[start : start + _BATCH]])
        appending = time.perf_counter() - began
        began = time.perf_counter()
        records = ledger.verify(ledger.head()).records
        verifying = time.perf_counter() - began
    assert records == len(statements)
    return records / appending, records / verifying


def _entry(item: Statement) -> Entry:
    digest = item.subject[0].digest.sha256
    keys = (("digest", digest), ("predicate", item.predicate_type), ("subject", "urn:heliotrope:bench:project:bench"))
    return Entry("evidence", item, keys)


def _evidence(number: int) -> Statement:
    """An inventory of six files: about 1.5 kB of canonical JSON."""
    digest = sha256_hex(str(number).encode())
    files = tuple(
        InventoryFile(
            artifact=Artifact(
                path=f"models/classifier-{number}/part-{part}.safetensors", sha256=digest, size=4096 + part
            ),
            role="model",
        )
        for part in range(6)
    )
    predicate = InventoryPredicate(
        files=files,
        problems=(),
        total_files=6,
        total_bytes=sum(file.artifact.size for file in files),
        tree_digest=digest,
    )
    return statement({f"classifier-{number}": digest}, INVENTORY_PREDICATE, predicate)


if __name__ == "__main__":
    for row in main():
        print(f"{row['name']}: {row['value']:.0f} {row['unit']} (target {row['target']})")
