"""A run that is to begin, known by what it writes into its folder, where an earlier run's files may be.

No clock is asked: those of file systems are coarse, and may differ from that of the process.
"""

from __future__ import annotations

from pathlib import Path


class AwaitedRun:
    """What a run has written into its folder since this was made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config = folder / "config.yaml"
        self._before = _stamp(self._config)

    @property
    def has_begun(self) -> bool:
        """Whether it has written its configuration, which comes after all that it takes over."""
        now = _stamp(self._config)
        return now is not None and now != self._before

    @property
    def has_ended(self) -> bool:
        """Whether all of it is trained and judged; its report comes last, and may be missing."""
        return self.has_begun and is_judged(self.folder)


def is_judged(folder: Path) -> bool:
    """Return whether the run in ``folder`` is trained and judged to its end."""
    return (folder / "summary.json").exists()


def report_of(folder: Path) -> Path | None:
    """Return the report on the end of the run in ``folder``; None if it is missing, or an earlier one."""
    summary, report = _stamp(folder / "summary.json"), _stamp(folder / "report.html")
    is_written = summary is not None and report is not None and report[0] >= summary[0]
    return folder / "report.html" if is_written else None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from one that is written in its place; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
