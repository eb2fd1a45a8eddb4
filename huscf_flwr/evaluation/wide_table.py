"""A table that is wider than the terminal, as several that fit and begin with the same columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

_AROUND_A_COLUMN = 3
"""Characters of a column's border and of the blanks beside its cells."""
_PROSE = 24
"""Characters of a line of a cell that may be wrapped."""


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

    @property
    def width(self) -> int:
        """Characters of the longest line, when all that may be wrapped is."""
        lines = [line.cell_len for cell in self.cells for line in cell.split("\n")]
        words = [Text(word).cell_len for word in self.heading.split()]
        if self.is_prose:
            words += [Text(word).cell_len for cell in self.cells for word in cell.plain.split()]
            lines = [min(line, _PROSE) for line in lines]
        return max([*lines, *words], default=0)


def fitting_tables(
    title: str,
    first: Sequence[TableColumn],
    others: Sequence[TableColumn],
    *,
    width: int,
    caption: str | None = None,
) -> Iterator[Table]:
    """Yield tables of at most ``width`` characters, each with the columns ``first`` and some of ``others``.

    A table whose ``first`` leave no room has one of the ``others`` all the same. The ``caption`` is below the
    last one.
    """
    parts = _parted(others, width - 1 - sum(map(_taken, first)))
    for number, part in enumerate(parts, start=1):
        count = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        table = _table(f"{title}{count}", [*first, *part])
        table.caption = Text(caption) if caption and number == len(parts) else None
        yield table


def _parted(columns: Sequence[TableColumn], room: int) -> list[list[TableColumn]]:
    parts: list[list[TableColumn]] = [[]]
    for column in columns:
        if parts[-1] and sum(map(_taken, [*parts[-1], column])) > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _taken(column: TableColumn) -> int:
    return column.width + _AROUND_A_COLUMN


def _table(title: str, columns: Sequence[TableColumn]) -> Table:
    table = Table(title=Text(title), title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column.heading, justify=column.justify, width=column.width, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table
