"""The corpus as bytes: one archive for each family and version, with digests beside them.

`python -m tests.corpus.store MADE` packs what `python -m tests.corpus MADE` made; files that are there already stay as they are.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

__all__ = ["DIGESTS", "STORE", "pack", "unpack"]

STORE = Path(__file__).parent / "files"
DIGESTS = STORE / "SHA256SUMS"
_WHEN = (2026, 11, 24, 0, 0, 0)


def _digests() -> dict[str, str]:
    if not DIGESTS.exists():
        return {}
    return {name: digest for digest, name in (line.split("  ", 1) for line in DIGESTS.read_text("utf-8").splitlines())}


def pack(made: Path) -> None:
    """Put each folder of `made` into an archive of its own, and write the digests of all files."""
    digests = _digests()
    for folder in sorted(path for path in made.iterdir() if path.is_dir()):
        archive = STORE / f"{folder.name}.zip"
        if archive.exists():
            continue
        STORE.mkdir(exist_ok=True)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folder.iterdir()):
                digests[f"{folder.name}/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
                file.writestr(zipfile.ZipInfo(path.name, _WHEN), path.read_bytes(), zipfile.ZIP_DEFLATED)
    DIGESTS.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())), "utf-8")


def unpack(target: Path) -> list[Path]:
    """All files of the corpus, below `target`; AssertionError when one is not what its digest says."""
    digests = _digests()
    paths = []
    for archive in sorted(STORE.glob("*.zip")):
        folder = target / archive.stem
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        paths.extend(sorted(folder.iterdir()))
    for path in paths:
        name = f"{path.parent.name}/{path.name}"
        assert digests.pop(name) == hashlib.sha256(path.read_bytes()).hexdigest(), name
    assert not digests, f"not in the archives: {sorted(digests)[:3]}"
    return paths


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        pack(Path(argument))
