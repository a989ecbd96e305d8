from pathlib import Path

from heliotrope.testing import FakeContext, assert_check_contract, run_check

GOOD = "#scorecard 1\nbase: 600\nrange: 580 615\nfeature age 18 100\n  18 40 -20\n  40 100 15\n"
ID = "scorecard.bins"


def outcome(folder: Path, text: str):
    (folder / "a.scard").write_text(text)
    (run,) = run_check(ID, folder)
    return run.result.outcome.state, [finding.rule for finding in run.result.findings]


def test_the_contract_of_checks(tmp_path):
    (tmp_path / "a.scard").write_text(GOOD.replace("40 100", "50 100"))
    (run,) = assert_check_contract(ID, tmp_path)
    assert run.result.findings[0].message == "a.scard: age: values from 40 to 50 fall into no bin"


def test_bins_that_fit_pass(tmp_path):
    assert outcome(tmp_path, GOOD) == ("passed", [])


def test_overlapping_bins_fail(tmp_path):
    assert outcome(tmp_path, GOOD.replace("18 40", "18 45")) == ("failed", ["scorecard-gap"])


def test_a_last_bin_that_ends_early_fails(tmp_path):
    assert outcome(tmp_path, GOOD.replace("40 100 15", "40 90 15")) == ("failed", ["scorecard-gap"])


def test_scores_out_of_range_are_a_finding_that_does_not_fail(tmp_path):
    assert outcome(tmp_path, GOOD.replace("580 615", "600 615")) == ("passed", ["scorecard-out-of-range"])


def test_a_line_that_is_none_is_inconclusive(tmp_path):
    assert outcome(tmp_path, GOOD.replace("-20", "many")) == ("inconclusive", [])


def test_without_scorecards_it_does_not_apply(tmp_path):
    assert run_check(ID, tmp_path)[0].result.outcome.state == "not_applicable"


def test_progress_is_told(tmp_path):
    from heliotrope_scorecard.checks import bins

    (tmp_path / "a.scard").write_text(GOOD)
    (run,) = run_check(ID, tmp_path)
    from heliotrope.engine.interface import Task

    task = Task(check=ID, subject=run.planned.subject, root=str(tmp_path), parameters={}, inputs={}, seed=0)
    context = FakeContext(tmp_path)
    bins(task, context)
    assert context.said == [(0, 1, "a.scard")]
