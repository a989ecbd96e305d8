"""Requirements and constraints files: what pip reads is read, what it refuses is a problem with its line."""

import pytest

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package
from heliotrope.supply.dependencies.interface import MAX_BYTES, MAX_PACKAGES, Parsed
from heliotrope.supply.dependencies.requirements import parse_constraints, parse_declarations, parse_requirements

A, B = "a" * 64, "b" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def parsed(text: str | bytes) -> Parsed:
    found = parse_requirements(text if isinstance(text, bytes) else text.encode())
    assert not found.problems
    return found


def one(text: str | bytes) -> Package:
    (package,) = parsed(text).packages
    return package


def problem(text: str) -> tuple[int | None, str]:
    found = parse_requirements(text.encode())
    assert not found.packages
    (only,) = found.problems
    return only.line, only.reason


def test_name_version_extras_marker_and_line():
    package = one('\n# tools\n\nScikit_Learn[Alldeps, b]==1.5.2 ; python_version < "3.13"  # why\n')
    assert (package.name, package.version, package.specifier) == ("scikit-learn", "1.5.2", "==1.5.2")
    assert package.extras == ("Alldeps", "b")
    assert package.marker == 'python_version < "3.13"'
    assert package.line == 4
    assert package.purl == "pkg:pypi/scikit-learn@1.5.2"
    assert package.source.kind == "index"


@pytest.mark.parametrize("specifier", ["", ">=1", "==1.*", "~=1.4", "==1.0,==1.1", "!=1"])
def test_anything_but_one_version_is_not_pinned(specifier):
    assert one(f"x{specifier}").version is None


@pytest.mark.parametrize("specifier", ["==1.0", "===1.0", " == 1.0"])
def test_one_version_is_pinned(specifier):
    assert one(f"x{specifier}").version == "1.0"


def test_continued_lines_and_digests():
    package = one(f"x==1 \\\n  --hash=sha256:{A} \\\n  --hash sha512:{B}{B}\n")
    assert [(item.algorithm, item.value) for item in package.hashes] == [("sha256", A), ("sha512", B + B)]
    assert package.line == 1
    assert one(f"x==1 \\\n --hash=sha256:{A}\n    # via y\n").hashes[0].value == A


def test_a_continued_line_at_the_end_of_the_file():
    assert one("x==1 \\").version == "1"


def test_a_hash_sign_without_a_space_belongs_to_the_address():
    package = one(f"https://e.org/x-1.0-py3-none-any.whl#sha256={A}")
    assert (package.name, package.version, package.source.kind) == ("x", "1.0", "url")
    assert package.source.fixed
    assert package.source.address == "https://e.org/x-1.0-py3-none-any.whl"
    assert package.hashes[0].value == A


@pytest.mark.parametrize(
    ("text", "revision", "fixed"),
    [
        (f"git+https://e.org/a/b.git@{COMMIT}#egg=b", COMMIT, True),
        ("git+https://e.org/a/b.git@main#egg=b", "main", False),
        ("git+https://e.org/a/b.git#egg=b&subdirectory=c", None, False),
        ("git+ssh://git@e.org/a/b.git@v1#egg=b", "v1", False),
        (f"b @ git+https://e.org/a/b.git@{COMMIT}", COMMIT, True),
        ("b@git+https://e.org/a/b.git@v1", "v1", False),
        ("-e git+https://e.org/a/b.git@v1#egg=b", "v1", False),
        ("svn+https://e.org/a/b@123#egg=b", "123", True),
    ],
)
def test_version_control(text, revision, fixed):
    package = one(text)
    assert (package.name, package.source.kind) == ("b", "vcs")
    assert (package.source.revision, package.source.fixed) == (revision, fixed)
    assert "@" not in (package.source.address or "")


def test_addresses_are_kept_without_passwords():
    found = parsed("--index-url https://me:secret@e.org/simple\nx @ https://me:secret@e.org/x-1.0.tar.gz")
    assert "secret" not in repr(found)
    assert "secret" not in problem("git+https://me:secret@e.org/x.git nonsense")[1]
    assert found.indexes[0].address == "https://e.org/simple"


@pytest.mark.parametrize(
    "text", ["./local", "-e .[dev]", "-e ./local", "../x/y.whl", "file:///srv/x-1.0.tar.gz", "a/b"]
)
def test_paths(text):
    assert one(text).source.kind == "path"


def test_extras_and_marker_of_a_path():
    package = one('./local[dev,test] ; python_version > "3"')
    assert (package.name, package.extras, package.marker) == ("local", ("dev", "test"), 'python_version > "3"')


def test_options_and_includes():
    found = parsed(
        "-r base.txt\n--requirement=more.txt\n-cbounds.txt\n-i https://e.org/simple\n"
        "--extra-index-url https://f.org/simple\n-f https://g.org/links\n--trusted-host h.org\n"
        "--require-hashes\n--pre\n--no-binary :all:\n--only-binary=:none:\n"
    )
    assert [(item.path, item.constraint) for item in found.includes] == [
        ("base.txt", False),
        ("more.txt", False),
        ("bounds.txt", True),
    ]
    assert [(item.kind, item.address) for item in found.indexes] == [
        ("index", "https://e.org/simple"),
        ("extra-index", "https://f.org/simple"),
        ("find-links", "https://g.org/links"),
        ("trusted-host", "h.org"),
    ]
    assert found.requires_hashes
    assert found.packages == ()


@pytest.mark.parametrize(
    "encoded",
    [
        "x==1  # ä".encode("utf-8-sig"),
        "x==1  # ä".encode("utf-16"),
        "x==1  # ä".encode("utf-32"),
        "# -*- coding: latin-1 -*-\nx==1  # ä".encode("latin-1"),
    ],
)
def test_encodings(encoded):
    assert one(encoded).version == "1"


@pytest.mark.parametrize(
    "data",
    [
        "x==1 # ä".encode("latin-1"),
        b"# coding: zlib\nx==1",
        b"# coding: nonsense\nx",
        b"# coding: utf-7\n+2AA-",
        b"\xff\xfe\0",
    ],
)
def test_what_is_no_text_is_refused_as_a_whole(data):
    with pytest.raises(InputError):
        parse_requirements(data)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("two words", "not a requirement"),
        ("x=1", "not a requirement"),
        ("x==1 --hash=sha256:12", "not a digest"),
        (f"--hash=sha256:{A}", "without a requirement"),
        ("--frobnicate", "do not have"),
        ("x==1 --hash", "needs a value"),
        ("-r", "needs a value"),
        ('--index-url "unfinished', "cannot be read"),
        ("ssh://e.org/x", "unknown kind"),
        ('x ; nonsense == "1"', "not a requirement"),
        ("\x1b[31mred", "not a requirement"),
        ("x" * 3000, "3000 characters"),
    ],
)
def test_a_bad_line_is_a_problem_with_its_number(line, reason):
    number, said = problem(f"\n{line}\n")
    assert number == 2
    assert reason in said
    assert said.isprintable()


def test_a_bad_line_does_not_hide_the_others():
    found = parse_requirements(b"x==1\n???\ny==2\n")
    assert [package.name for package in found.packages] == ["x", "y"]
    assert [item.line for item in found.problems] == [2]


def test_limits():
    with pytest.raises(InputError, match="more than the limit"):
        parse_requirements(b"#" * (MAX_BYTES + 1))
    for data in (b"x\n", b"-r y\n", b"-i z\n"):
        with pytest.raises(InputError, match="more than the limit"):
            parse_requirements(data * (MAX_PACKAGES + 1))
    with pytest.raises(InputError, match="more than 100 lines cannot be read, the first in line 1"):
        parse_requirements(b"?\n" * 1000)


def test_roles():
    assert parse_requirements(b"x").role == "pins"
    assert parse_constraints(b"x").role == "limits"
    declared = parse_declarations(b"x")
    assert declared.role == "declares"
    assert declared.packages[0].relation == "direct"
    assert one("x==1").relation == "unknown"
