"""Tutorials and how-to guides are followed word by word."""

import json
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import ROOT, Block, Session, blocks, matches, pages, setup_of, typed_by_people
from tests.docs.setups import SETUPS

from heliotrope.config.loader import load_yaml_text
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.gate import Policy

ALL = [block for page in pages() for block in blocks(page)]


def name(page: Path) -> str:
    return f"{page.parent.name}/{page.stem}"


@pytest.mark.parametrize("page", [page for page in pages() if page.stem != "index"], ids=name)
def test_following_the_page_gives_what_it_shows(page, tmp_path, own_home):
    folder = tmp_path / "work"
    folder.mkdir()
    setup = setup_of(page)
    if setup is not None:
        SETUPS[setup](folder)
    session = Session(folder, {"HELIOTROPE_TEST_PLUGINS": str(tmp_path / "plugins")})
    for block in blocks(page):
        session.follow(block)


@pytest.mark.parametrize("block", [block for block in ALL if typed_by_people(block)], ids=lambda block: block.where)
def test_a_page_says_what_becomes_of_every_block(block):
    """A block that nobody runs, writes or checks may be wrong for years."""
    told = block.directives.keys() & {"file", "from", "valid", "not run"}
    assert block.is_command or told, f"{block.where}: say what the {block.language} is: {Block.__module__} tells how"
    if "not run" in block.directives:
        assert len(block.directives["not run"]) > 20, f"{block.where}: that is no reason"


@pytest.mark.parametrize(
    "block", [block for block in ALL if "not run" in block.directives], ids=lambda block: block.where
)
def test_not_run(block):
    """Lists what is not run, and why."""
    pytest.skip(f"not run: {block.directives['not run']}")


@pytest.mark.parametrize("block", [block for block in ALL if "from" in block.directives], ids=lambda block: block.where)
def test_what_is_shown_of_a_file_stands_in_it(block):
    assert block.body.strip("\n") in (ROOT / block.directives["from"]).read_text("utf-8")


@pytest.mark.parametrize(
    "block", [block for block in ALL if "valid" in block.directives], ids=lambda block: block.where
)
def test_an_example_is_valid(block):
    CHECKS[block.directives["valid"]](block)


def valid_config(block: Block) -> None:
    load_yaml_text(block.body, Path("heliotrope.yaml"), HeliotropeConfig)


def valid_config_part(block: Block) -> None:
    load_yaml_text(f"version: 1\nproject: p\n{block.body}", Path("heliotrope.yaml"), HeliotropeConfig)


def valid_policy(block: Block) -> None:
    load_yaml_text(block.body, Path("policy.yaml"), Policy)


def valid_workflow(block: Block) -> None:
    """Of GitHub: what is handed to our action must be what it takes, and what is asked of it what it gives."""
    workflow = yaml.safe_load(block.body)
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if "heliotrope" in step.get("uses", "")]
    assert ours
    for step in ours:
        assert set(step["with"]) <= set(action["inputs"])
        for other in steps:
            text = json.dumps(other)
            asked = {part.split()[0].strip("\"'}") for part in text.split(f"steps.{step['id']}.outputs.")[1:]}
            assert asked <= set(action["outputs"])
    assert workflow[True] or workflow["on"]  # YAML 1.1 reads the key `on` as a truth value


def valid_gitlab(block: Block) -> None:
    jobs = yaml.safe_load(block.body)
    for job in jobs.values():
        assert set(job) <= {"image", "script", "artifacts", "allow_failure", "stage", "rules", "cache", "variables"}
        assert all(isinstance(line, str) for line in job["script"])


def valid_pre_commit(block: Block) -> None:
    published = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
    for repository in yaml.safe_load(block.body)["repos"]:
        assert {hook["id"] for hook in repository["hooks"]} <= published
        assert repository["rev"]


CHECKS = {
    "config": valid_config,
    "config-part": valid_config_part,
    "policy": valid_policy,
    "workflow": valid_workflow,
    "gitlab": valid_gitlab,
    "pre-commit": valid_pre_commit,
}


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc\n", False),
        ("a", "a\nb\n", False),
        ("a\n…", "a\nb\nc\n", True),
        ("…\nc", "a\nb\nc\n", True),
        ("a … c", "a b c\n", True),
        ("a … c", "a b d\n", False),
        ("n = …", "n = 600\n", True),
        ("…", "", True),
    ],
)
def test_what_a_page_shows_is_compared_with_what_was_printed(shown, output, same):
    assert matches(shown, output) is same


def follow(text: str, folder: Path) -> None:
    session = Session(folder, {})
    for block in blocks(ROOT / "page.md", text):
        session.follow(block)


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ exit 3\n```\n",
        "```console\n$ echo a\nb\n```\n",
        "```console\n$ false\n$ echo $?\n0\n```\n",
        "```bash\nfalse\ntrue\n```\n",
        "<!-- exit: 1 -->\n```console\n$ true\n```\n",
        "<!-- exits: 1 -->\n```console\n$ true\n```\n",
        "```console\nno command\n```\n",
    ],
)
def test_a_page_that_is_wrong_fails(text, tmp_path):
    with pytest.raises(AssertionError):
        follow(text, tmp_path)


def test_a_shell_keeps_folder_variables_and_the_last_exit_code(tmp_path):
    follow(
        "<!-- file: a.txt -->\n```text\nhello\n```\n"
        "```console\n$ export X=1 && mkdir b && cd b\n```\n"
        "```console\n$ cat ../a.txt\nhello\n$ echo $X\n1\n$ false\n$ echo $?\n1\n```\n"
        "<!-- exit: 2 -->\n```bash\nexit 2\n```\n",
        tmp_path,
    )
