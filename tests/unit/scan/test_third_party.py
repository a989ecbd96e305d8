"""Analysers of other packages: off unless named, part of the policy when on, and unable to take anything away."""

import pytest
from tests.unit.scan.assembler import SYSTEM, zipped

from heliotrope.core.errors import ConfigError, InternalError
from heliotrope.core.findings import Fix, Rule
from heliotrope.engine import registry as engine_registry
from heliotrope.scan import policy_digest, scan_paths
from heliotrope.scan.interface import LimitReachedError, Recognised, UnreadableError
from heliotrope.scan.registry import NONE, Enabled, analyser, analysers, enable
from heliotrope.scan.sources import BytesSource

ODD = Rule(id="toy-odd", title="Odd", severity="medium", help="It is odd.", fix=Fix(text="Make it even."))
BAD = Rule(id="toy-bad", title="Bad", severity="critical", help="It is bad.", fix=Fix(text="Leave it."))
HOSTILE = b"\x80\x02" + SYSTEM + b"."
TOY = b"TOY1"


class Toy:
    """Takes what begins with TOY1; the byte behind it says what to do."""

    format = "toy"

    def accepts(self, source, name):
        return source.read(0, 4) == TOY

    def analyse(self, source, name, context):
        if source.read(4, 1) == b"o":
            context.notes.add("toy-odd", "is odd", offset=4)
        if source.read(4, 1) == b"b":
            context.notes.add("toy-bad", "is bad", offset=4)
        return Recognised("toy")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    engine_registry.checks()
    monkeypatch.setattr(engine_registry, "_extensions", {})


def register(factory=Toy, **changes):
    described = {
        "id": "toy.files",
        "version": "1.0",
        "title": "Toys",
        "formats": ("toy",),
        "docs": "nowhere",
        "rules": (ODD, BAD),
        "extensions": (".toy",),
    } | changes
    analyser(**described)(factory)
    return enable([described["id"]])


def scan(folder, data, enabled, name="model.toy"):
    path = folder / name
    path.write_bytes(data)
    return scan_paths([path], analysers=enabled).files[0]


def test_one_that_is_installed_and_not_named_changes_nothing(tmp_path):
    (tmp_path / "model.toy").write_bytes(TOY + b"b")
    before = scan_paths([tmp_path / "model.toy"])
    register()
    assert scan_paths([tmp_path / "model.toy"]) == before
    assert before.tool.analysers == ()
    assert before.files[0].verdict == "unsupported"


@pytest.mark.parametrize(
    ("byte", "verdict", "rules"),
    [(b"e", "clean", []), (b"o", "suspicious", ["toy-odd"]), (b"b", "malicious", ["toy-bad"])],
)
def test_one_that_is_named_says_what_it_sees(tmp_path, byte, verdict, rules):
    report = scan(tmp_path, TOY + byte, register())
    assert (report.format, report.verdict) == ("toy", verdict)
    assert [finding.rule for finding in report.findings] == rules
    assert [finding.locations[0].offset for finding in report.findings] == [4] * len(rules)


def test_id_and_version_are_part_of_the_policy_digest(tmp_path):
    first = register()
    second = register(version="1.1")
    digests = {policy_digest(), policy_digest(first.names), policy_digest(second.names)}
    assert len(digests) == 3
    (tmp_path / "m.toy").write_bytes(TOY)
    tool = scan_paths([tmp_path / "m.toy"], analysers=first).tool
    assert tool.policy_digest == policy_digest((("toy.files", "1.0"),))
    assert [item.document() for item in tool.analysers] == [{"id": "toy.files", "version": "1.0"}]


def test_one_that_is_named_and_not_there_is_a_configuration_error():
    register()
    with pytest.raises(ConfigError, match=r"there is no analyser 'toy\.flies'") as caught:
        enable(["toy.flies"])
    assert "toy.files" in caught.value.hint


def test_one_that_lacks_a_package_is_a_configuration_error_that_names_it():
    with pytest.raises(ConfigError, match="not_there_at_all is not installed") as caught:
        register(modules=("not_there_at_all",), extra="toy[more]")
    assert caught.value.hint == "pip install 'toy[more]'"


def test_naming_none_asks_nobody(monkeypatch):
    monkeypatch.setattr(engine_registry, "_load", lambda: pytest.fail("plug-ins were imported"))
    assert enable([]) is NONE


def raising(error):
    class Raising(Toy):
        def analyse(self, source, name, context):
            raise error

    return Raising


def raising_at(place, error):
    def fail(self, *arguments):
        raise error

    return type("RaisingAt", (Toy,), {place: fail})


def returning(value):
    return type("Returning", (Toy,), {"analyse": lambda self, *_: value})


def noting(*arguments, **more):
    def analyse(self, source, name, context):
        context.notes.add(*arguments, **more)
        return Recognised("toy")

    return type("Noting", (Toy,), {"analyse": analyse})


FAULTY = {
    "raises": raising(ValueError("no\x1b[31m")),
    "exits": raising(SystemExit(0)),
    "recurses": raising(RecursionError()),
    "memory": raising(MemoryError()),
    "limit": raising(LimitReachedError("toy_max", "too much")),
    "unreadable": raising(UnreadableError("gone")),
    "cannot be made": raising_at("__init__", OSError("no licence")),
    "cannot look": raising_at("accepts", KeyError("x")),
    "answers nonsense": type("A", (Toy,), {"accepts": lambda self, *_: "yes"}),
    "returns nothing": returning(None),
    "returns a text": returning("toy"),
    "returns another format": returning(Recognised("safetensors")),
    "returns an unhashable format": returning(Recognised(["toy"])),
    "notes a rule of ours": noting("pickle-dangerous-call", "x"),
    "notes an unhashable rule": noting(["toy-odd"], "x"),
    "notes no text": noting("toy-odd", 7),
    "notes a negative place": noting("toy-odd", "x", offset=-1),
    "notes a huge place": noting("toy-odd", "x", offset=2**70),
    "notes no count": noting("toy-odd", "x", count=0),
    "notes an odd confidence": noting("toy-odd", "x", confidence="sure"),
    "notes an odd member": noting("toy-odd", "x", member=b"m"),
    "misses an argument": noting("toy-odd"),
}


@pytest.mark.parametrize("factory", FAULTY.values(), ids=FAULTY.keys())
@pytest.mark.parametrize("named", [True, False])
def test_a_faulty_one_leaves_the_file_incomplete_and_never_clean(tmp_path, factory, named):
    enabled = register(factory)
    (tmp_path / "model.toy").write_bytes(TOY)
    (report,) = scan_paths([tmp_path / "model.toy" if named else tmp_path], analysers=enabled).files
    assert report.verdict == "incomplete"
    assert report.incomplete
    assert report.model_dump_json().isascii() or "\x1b" not in report.model_dump_json()


@pytest.mark.parametrize("factory", FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_one_hides_nothing_that_ours_see(tmp_path, factory):
    """The same bytes are a pickle, which the faulty one takes as well."""
    both = type("Both", (factory,), {} if "accepts" in vars(factory) else {"accepts": lambda self, *_: True})
    report = scan(tmp_path, HOSTILE, register(both), name="model.pkl")
    assert report.verdict == "malicious"
    assert "pickle-dangerous-call" in {finding.rule for finding in report.findings}


def test_one_that_fills_its_findings_and_spends_its_budget_hides_nothing(tmp_path):
    class Greedy(Toy):
        def accepts(self, source, name):
            return True

        def analyse(self, source, name, context):
            for number in range(2 * context.limits.max_findings):
                context.notes.add("toy-odd", f"odd {number}", key=str(number))
            context.budget.opcodes = context.budget.inflated = context.budget.members = context.budget.candidates = 0
            return Recognised("toy")

    archive = zipped({"a.txt": b"harmless", "data.pkl": HOSTILE})
    report = scan(tmp_path, archive, register(Greedy), name="model.zip")
    assert report.verdict == "malicious"
    assert report.findings[0].rule == "pickle-dangerous-call"


def test_what_lies_inside_is_inspected_by_all(tmp_path):
    class Outer(Toy):
        def analyse(self, source, name, context):
            context.nested(BytesSource(source.read(4, 10_000)), "inner", context.inside("inner"))
            return Recognised("toy")

    enabled = register(Outer)
    report = scan(tmp_path, TOY + HOSTILE, enabled)
    assert report.verdict == "malicious"
    assert report.findings[0].locations[0].member == "inner"
    assert scan(tmp_path, zipped({"x": TOY + HOSTILE}), enabled, name="m.zip").verdict == "malicious"
    assert scan(tmp_path, zipped({"x": TOY + HOSTILE}), NONE, name="m.zip").verdict != "malicious"


def test_a_file_that_contains_itself_ends(tmp_path):
    class Endless(Toy):
        def analyse(self, source, name, context):
            context.nested(source, name, context)
            return Recognised("toy")

    report = scan(tmp_path, TOY, register(Endless))
    assert report.verdict == "incomplete"
    assert "max_depth" in {item.limit for item in report.incomplete}


def test_bytes_of_two_formats_are_a_polyglot_unless_one_is_built_on_the_other(tmp_path):
    anything = type("Anything", (Toy,), {"accepts": lambda self, *_: True})
    archive = zipped({"a.txt": b"harmless"})
    assert "file-polyglot" in {item.rule for item in scan(tmp_path, archive, register(anything)).findings}
    report = scan(tmp_path, archive, register(anything, refines=("zip",)))
    assert (report.format, report.findings) == ("toy", ())


def test_its_extensions_are_judged_inside_a_folder(tmp_path):
    (tmp_path / "broken.toy").write_bytes(b"something else")
    (tmp_path / "notes.txt").write_bytes(b"something else")
    assert scan_paths([tmp_path]).files == ()
    (report,) = scan_paths([tmp_path], analysers=register()).files
    assert (report.path.rpartition("/")[2], report.verdict) == ("broken.toy", "incomplete")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "toy"}, "not dotted"),
        ({"id": "Toy.files"}, "not dotted"),
        ({"version": ""}, "version"),
        ({"title": ""}, "title"),
        ({"docs": ""}, "docs"),
        ({"formats": ()}, "formats"),
        ({"formats": ("TOY!",)}, "formats"),
        ({"extensions": ("toy",)}, "extensions"),
        ({"rules": (ODD.model_copy(update={"id": "odd"}),)}, "not written as"),
        ({"rules": (ODD.model_copy(update={"id": "pickle-dangerous-call"}),)}, "belongs to Heliotrope"),
        ({"rules": (ODD, ODD)}, "belongs to toy.files"),
        ({"rules": (ODD.model_copy(update={"taxonomy": ("CWE-0",)}),)}, "catalogue"),
    ],
)
def test_a_descriptor_that_cannot_be_used_is_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        register(**changes)
    assert analysers() == ()


def test_rules_of_another_analyser_cannot_be_taken_over():
    register()
    with pytest.raises(ValueError, match=r"belongs to toy\.files"):
        register(id="toy.others")


def test_an_id_cannot_be_taken_over():
    register()
    thief = type("Thief", (Toy,), {"__module__": "somewhere.else"})
    with pytest.raises(InternalError, match="two plug-ins"):
        register(thief)


def test_several_are_ordered_by_id_however_they_are_named():
    register()
    register(id="abc.files", rules=())
    assert enable(["toy.files", "abc.files", "toy.files"]).names == (("abc.files", "1.0"), ("toy.files", "1.0"))
    assert isinstance(enable(["abc.files"]), Enabled)
