"""7z archives are opened only where the person asks for it, in a worker."""

import io
import subprocess
import sys
from pathlib import Path

import py7zr
import pytest
from tests.unit.scan.archive_builder import PAYLOAD, PLAIN
from tests.unit.scan.assembler import scan_bytes, zipped

from heliotrope.core.errors import ConfigError
from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths
from heliotrope.scan.archives.seven_zip import SEVEN_ZIP
from heliotrope.scan.registry import enable


def seven(members: dict[str, bytes], password: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", password=password) as archive:
        for name, data in members.items():
            archive.writestr(data, name)
    return buffer.getvalue()


def opened(folder: Path, data: bytes, *, limits: ScanLimits | None = None) -> FileReport:
    path = folder / "m.7z"
    path.write_bytes(data)
    (report,) = scan_paths([path], analysers=enable([SEVEN_ZIP]), limits=limits).files
    return report


def test_it_is_unsupported_unless_asked_for(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, seven({"a.txt": PAYLOAD}), "m.7z").verdict == "unsupported"
    assert scan_bytes(tmp_path, zipped({"x.7z": seven({"a.txt": PAYLOAD})}), "m.zip").verdict == "incomplete"


def test_members_are_inspected(tmp_path: Path) -> None:
    report = opened(tmp_path, seven({"b.pkl": PLAIN, "a.txt": PAYLOAD}))
    assert (report.format, report.verdict) == ("7z", "malicious")
    assert report.findings[0].locations[0].member == "a.txt"
    assert opened(tmp_path, seven({"b.pkl": PLAIN})).verdict == "clean"
    assert opened(tmp_path, zipped({"x.7z": seven({"a.txt": PAYLOAD})})).verdict == "malicious"


def test_what_cannot_be_unpacked_is_incomplete(tmp_path: Path) -> None:
    whole = seven({"a.pkl": PAYLOAD})
    for data in (whole[:-5], whole[:40] + b"xxxx" + whole[44:], whole[:12], seven({"a": PAYLOAD}, password="secret")):
        assert opened(tmp_path, data).verdict in ("incomplete", "malicious")
    report = opened(tmp_path, seven({"a": bytes(2**21)}), limits=ScanLimits(max_seven_zip_bytes=2**20))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_seven_zip_bytes")


HELIO = [sys.executable, "-c", "from heliotrope.cli import main; main()", "scan"]


def test_the_command_line_and_the_configuration_ask_for_it(tmp_path: Path) -> None:
    (tmp_path / "m.7z").write_bytes(seven({"a.pkl": PAYLOAD}))
    config = tmp_path / "other.yaml"
    config.write_text("version: 1\nproject: x\nscan:\n  archives:\n    seven_zip: true\n")
    for options, code in ([], 3), (["--seven-zip"], 1), (["--config", "other.yaml"], 1):
        done = subprocess.run([*HELIO, *options, "m.7z"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


def test_asked_for_and_missing_is_an_error_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        enable([SEVEN_ZIP])
    assert caught.value.exit_code == 2
    assert caught.value.hint == "pip install 'heliotrope[sevenzip]'"
