"""lifecycle.writing: a report is whole or not there, and goes nowhere but where it was sent."""

import os
import threading

import pytest

from heliotrope.lifecycle.writing import write_whole


@pytest.mark.parametrize("follow", [False, True])
def test_what_lay_there_is_replaced_whole_and_nothing_is_left(tmp_path, follow):
    path = tmp_path / "report"
    write_whole(path, "one\udcff", follow=follow)
    assert path.read_text() == "one\\udcff"
    path.chmod(0o640)
    with path.open("rb") as reader:
        write_whole(path, "two", follow=follow)
        assert reader.read() == b"one\\udcff", "who reads meanwhile sees one version"
    assert path.read_text() == "two"
    assert [item.name for item in tmp_path.iterdir()] == ["report"]
    assert not follow or path.stat().st_mode & 0o777 == 0o640


def test_a_link_in_a_report_folder_leads_nowhere(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "report").symlink_to("precious")
    write_whole(tmp_path / "report", "text")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "report").is_symlink()


def test_a_link_that_a_person_named_is_followed(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "new", follow=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_that_a_person_named_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_whole(tmp_path / "pipe", "text", follow=True)
    reader.join()
    assert heard == ["text"]


@pytest.mark.parametrize("follow", [False, True])
def test_where_it_cannot_be_written_nothing_changes(tmp_path, follow):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "no" / "report", tmp_path / ("x" * 300)):
        with pytest.raises(OSError):  # noqa: PT011 - any of them
            write_whole(path, "text", follow=follow)
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]
