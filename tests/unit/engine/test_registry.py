"""The registry: one owner for each id, and a broken plug-in that hides no other."""

import importlib
import sys

import pytest
from tests.plugins import install_plugin

from heliotrope.core.errors import InternalError, UsageError
from heliotrope.engine import registry


@pytest.fixture
def fresh(monkeypatch):
    """A registry in which entry points are looked for again; ours are imported before it is copied."""
    registry.checks()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    registry._load.cache_clear()
    yield registry
    registry._load.cache_clear()


def test_an_installed_plug_in_is_found_beside_ours(fresh, tmp_path, monkeypatch):
    body = "register('theirs.check')(lambda task, context: CheckResult(outcome=Passed()))\n"
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, "their_plugin", body)))
    importlib.invalidate_caches()
    ids = [item.id for item in fresh.checks()]
    assert "theirs.check" in ids
    assert "scan.files" in ids
    assert ids == sorted(ids)
    assert fresh.unavailable() == ()


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('no')\n", "import a_module_that_is_not_there\n", "def broken(:\n"]
)
def test_a_plug_in_that_cannot_be_imported_is_named_and_hides_no_other(fresh, tmp_path, monkeypatch, body):
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, "their_broken", body)))
    importlib.invalidate_caches()
    sys.modules.pop("their_broken", None)
    assert "scan.files" in [item.id for item in fresh.checks()]
    (item,) = fresh.unavailable()
    assert (item.name, item.module) == ("their_broken", "their_broken")
    assert item.reason


def test_a_second_plug_in_cannot_take_over_an_id(fresh, tmp_path, monkeypatch):
    body = "register('scan.files')(lambda task, context: CheckResult(outcome=Passed()))\n"
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, "their_thief", body)))
    importlib.invalidate_caches()
    sys.modules.pop("their_thief", None)
    (item,) = fresh.unavailable()
    assert InternalError.__name__ in item.reason
    assert fresh.find_check("scan.files").function.__module__ == "heliotrope.scan.checks"


def test_an_unknown_check_names_those_there_are(fresh):
    with pytest.raises(UsageError) as caught:
        fresh.find_check("scan.flies")
    assert "scan.files" in caught.value.hint


def test_half_a_plug_in_is_none(fresh, tmp_path, monkeypatch):
    body = (
        "register('theirs.check')(lambda task, context: CheckResult(outcome=Passed()))\n"
        "from heliotrope.engine.registry import register_extension\n"
        "register_extension('toy', 'theirs.toy', 1, module=__name__)\n"
        "raise RuntimeError('too late')\n"
    )
    monkeypatch.setattr(registry, "_extensions", {})
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, "their_half", body)))
    importlib.invalidate_caches()
    ids = [item.id for item in fresh.checks()]
    assert "theirs.check" not in ids
    assert "scan.files" in ids
    assert fresh.registered_extensions("toy") == {}
    assert [item.name for item in fresh.unavailable()] == ["their_half"]


def test_a_plug_in_that_calls_exit_does_not_end_the_program(fresh, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, "their_exit", "sys.exit(0)\n")))
    importlib.invalidate_caches()
    assert "scan.files" in [item.id for item in fresh.checks()]
    assert [item.name for item in fresh.unavailable()] == ["their_exit"]


def test_a_check_of_another_package_says_what_to_install_and_where_it_is_described(fresh, tmp_path, monkeypatch):
    body = (
        "register('theirs.check', docs='their pages', extra='theirs[more]', modules=('not_there',))"
        "(lambda task, context: CheckResult(outcome=Passed()))\n"
    )
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, "their_needs", body)))
    importlib.invalidate_caches()
    found = fresh.find_check("theirs.check")
    assert (found.built_in, found.docs, found.requirement) == (False, "their pages", "theirs[more]")
    ours = fresh.find_check("evasion.pgd")
    assert (ours.built_in, ours.requirement) == (True, "heliotrope[torch]")
