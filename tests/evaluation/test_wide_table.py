import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from huscf_flwr.evaluation.wide_table import TableColumn, fitting_tables

NUMBERS = st.lists(st.floats(0, 1e6).map("{:.3f}".format), min_size=2, max_size=2)
HEADINGS = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=3).map(" ".join)
COLUMNS = st.lists(
    st.builds(lambda heading, cells: TableColumn(heading, [*map(Text, cells)]), HEADINGS, NUMBERS)
)
FIRST = TableColumn("method", [Text("one-with-a-long-name"), Text("other")], "left")


def lines(tables):
    console = Console(width=500, record=True, file=io.StringIO())
    for table in tables:
        console.print(table)
    return console.export_text().splitlines()


@given(COLUMNS, st.integers(20, 120))
def test_every_column_is_there_once_in_its_place_and_no_cell_is_broken(columns, width):
    rows = [line for line in lines(fitting_tables("t", [FIRST], columns, width=width)) if "one-with" in line]
    cells = [cell.strip() for row in rows for cell in row.strip("│").split("│")[1:]]
    assert cells == [column.cells[0].plain for column in columns]


@given(COLUMNS, st.integers(20, 120))
def test_a_table_fits_unless_it_has_but_one_column(columns, width):
    for table in fitting_tables("", [FIRST], columns, width=width):
        assert len(table.columns) <= 2 or max(map(len, lines([table]))) <= width


def test_parts_are_counted_and_the_caption_is_below_the_last():
    columns = [TableColumn("a", [Text("1" * 30)]), TableColumn("b", [Text("2" * 30)])]
    first = TableColumn("method", [Text("x")])
    text = lines(fitting_tables("scores", [first], columns, width=50, caption="the end"))
    assert [line.strip() for line in text if "scores" in line] == ["scores (1 of 2)", "scores (2 of 2)"]
    assert [line.strip() for line in text if "the end" in line] == ["the end"] == [text[-1].strip()]
    assert lines(fitting_tables("scores", [first], columns, width=90))[0].strip() == "scores"


def test_prose_is_wrapped_between_words():
    prose = TableColumn("learns", [Text("images, labels, label counts, activations")], "left", is_prose=True)
    (table,) = fitting_tables("", [TableColumn("method", [Text("x")])], [prose], width=40)
    text = " ".join(line.strip("│").split("│")[-1].strip() for line in lines([table]) if "│" in line)
    assert text == "images, labels, label counts, activations"
