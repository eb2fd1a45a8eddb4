"""What is known of a run by its folder, whatever the clocks of process and file system say."""

import os

import pytest

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.run.awaited import AwaitedRun, report_of

OLD, NEW = 0, 2**32
"""Seconds since 1970: long before this test, and long after."""


def write(path, when):
    path.write_text("{}")
    os.utime(path, (when, when))


@pytest.mark.parametrize("when", [OLD, NEW])
def test_a_run_has_begun_once_its_configuration_is_there(tmp_path, when):
    run = AwaitedRun(tmp_path / "demo")
    assert not run.has_begun
    (tmp_path / "demo").mkdir()
    assert not run.has_begun
    write(tmp_path / "demo" / "config.yaml", when)
    assert run.has_begun


@pytest.mark.parametrize("when", [OLD, NEW])
def test_what_an_earlier_run_has_left_is_not_its_own(tmp_path, when):
    """Until it is written again, be it with the same content and, by a coarse clock, at the same time."""
    config = tmp_path / "config.yaml"
    write(config, when)
    write(tmp_path / "summary.json", when)
    run = AwaitedRun(tmp_path)
    assert not run.has_begun
    assert not run.has_ended
    write_atomically(config, b"{}")
    os.utime(config, (when, when))
    assert run.has_begun
    assert run.has_ended


def test_a_run_whose_earlier_folder_is_moved_aside_has_not_begun(tmp_path):
    (tmp_path / "demo").mkdir()
    write(tmp_path / "demo" / "config.yaml", OLD)
    run = AwaitedRun(tmp_path / "demo")
    (tmp_path / "demo").rename(tmp_path / "demo-1970")
    assert not run.has_begun


def test_a_report_belongs_to_a_summary_that_is_not_younger(tmp_path):
    """A run that is resumed in its own folder finds the report of before."""
    summary, report = tmp_path / "summary.json", tmp_path / "report.html"
    assert report_of(tmp_path) is None
    write(report, OLD)
    assert report_of(tmp_path) is None
    write(summary, NEW)
    assert report_of(tmp_path) is None
    write(report, NEW)
    assert report_of(tmp_path) == report
