import base64

from heliotrope.testing import Sample, assert_analyser_contract, scan_sample

ID = "scorecard.files"
PLAIN = b"#scorecard 1\nname: credit\nbase: 600\nrange: 300 850\nfeature age 18 100\n  18 40 -20\n  40 100 15\n"
HARMLESS = base64.b64encode(b"\x80\x02}.")
HOSTILE = base64.b64encode(b"cposix\nsystem\n(S'id'\ntR.")


def with_line(line: bytes) -> bytes:
    return PLAIN + line + b"\n"


SAMPLES = [
    Sample("plain.scard", PLAIN, "clean"),
    Sample("anything.bin", PLAIN, "clean"),
    Sample(
        "eval.scard",
        with_line(b"  0 1 expr:__import__('os').system('id')"),
        "malicious",
        frozenset({"scorecard-expression"}),
    ),
    Sample("up.scard", with_line(b"include: ../../secrets"), "suspicious", frozenset({"scorecard-include-leaves"})),
    Sample("beside.scard", with_line(b"include: base.scard"), "incomplete"),
    Sample("packed.scard", with_line(b"attachment: a.pkl " + HARMLESS), "clean", frozenset({"scorecard-attachment"})),
    Sample(
        "trojan.scard",
        with_line(b"attachment: a.pkl " + HOSTILE),
        "malicious",
        frozenset({"scorecard-attachment", "pickle-dangerous-call"}),
    ),
    Sample("undecodable.scard", with_line(b"attachment: a.pkl ***"), "incomplete", frozenset({"scorecard-attachment"})),
    Sample("later.scard", with_line(b"macro: 1"), "incomplete"),
    Sample("endless.scard", PLAIN + b"1" * 2_000_000, "incomplete"),
]


def test_the_contract_of_analysers():
    assert_analyser_contract(ID, SAMPLES)


def test_where_a_finding_is():
    report = scan_sample(ID, "eval.scard", with_line(b"  0 1 expr:1+1"))
    (finding,) = report.findings
    assert finding.message == "evaluates 1+1"
    assert finding.locations[0].offset == len(PLAIN)
