"""A table that is wider than the terminal, as several that fit and begin with the same columns.

It is for tables of short cells. Where cells are sentences, as in an audit, rows below each other read better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

_AROUND_A_COLUMN = 3
"""Characters of a column's border and of the blanks beside its cells."""
_PROSE = 24
"""Most characters of a line of prose."""


@dataclass(frozen=True)
class TableColumn:
    """One column; all of a table have equally many cells.

    Attributes:
        heading: may be wrapped between words.
        cells: from the top.
        justify: to which side they are set.
        is_prose: whether cells may be wrapped between words too.
    """

    heading: str
    cells: Sequence[Text]
    justify: Literal["left", "right"] = "right"
    is_prose: bool = False

    @cached_property
    def least_width(self) -> int:
        """Characters of what may not be broken."""
        unbroken = self._words() if self.is_prose else self._lines()
        return max([*map(cell_len, self.heading.split()), *map(cell_len, unbroken)], default=0)

    @property
    def wanted_width(self) -> int:
        """Characters that it takes if there is room."""
        most = _PROSE if self.is_prose else 0
        return max(self.least_width, min(most, max(map(cell_len, self._lines()), default=0)))

    def _lines(self) -> list[str]:
        return [line for cell in self.cells for line in cell.plain.split("\n")]

    def _words(self) -> list[str]:
        return [word for cell in self.cells for word in cell.plain.split()]


def tables_that_fit(
    title: str,
    first: Sequence[TableColumn],
    others: Sequence[TableColumn],
    *,
    width: int,
    caption: str = "",
) -> Iterator[Group]:
    """Yield tables of at most ``width`` characters, each with the columns ``first`` and some of ``others``.

    Each has the ``title`` above it, and the last one the ``caption`` below; both may be wider than the table.
    If ``first`` leave no room, each of the ``others`` has a table of its own, of which Rich cuts the cells.
    """
    room = width - 1 - _least(first)
    parts = _even_parts(others, room)
    for number, part in enumerate(parts, start=1):
        count = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        below = [Text(caption, style="table.caption")] if caption and number == len(parts) else []
        table = _table([*first, *part], spare=room - _least(part))
        yield Group(Text(f"{title}{count}", style="table.title"), table, *below)


def _even_parts(columns: Sequence[TableColumn], room: int) -> list[list[TableColumn]]:
    """Return as few parts as there is room for, about equally wide."""
    parts = _filled_parts(columns, room)
    while room > 0 and len(narrower := _filled_parts(columns, room - 1)) == len(parts):
        parts, room = narrower, room - 1
    return parts


def _filled_parts(columns: Sequence[TableColumn], room: int) -> list[list[TableColumn]]:
    parts: list[list[TableColumn]] = [[]]
    for column in columns:
        if parts[-1] and _least([*parts[-1], column]) > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _least(columns: Sequence[TableColumn]) -> int:
    return sum(column.least_width + _AROUND_A_COLUMN for column in columns)


def _table(columns: Sequence[TableColumn], *, spare: int) -> Table:
    """Return a table whose prose has what it wants of the ``spare`` characters, the first columns first."""
    table = Table()
    for column in columns:
        more = max(0, min(spare, column.wanted_width - column.least_width))
        spare -= more
        width = column.least_width + more
        table.add_column(column.heading, justify=column.justify, width=width, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table
