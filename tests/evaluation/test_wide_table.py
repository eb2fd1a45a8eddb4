import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from huscf_flwr.evaluation.wide_table import TableColumn, tables_that_fit

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
    rows = [line for line in lines(tables_that_fit("t", [FIRST], columns, width=width)) if "one-with" in line]
    cells = [cell.strip() for row in rows for cell in row.strip("│").split("│")[1:]]
    assert cells == [column.cells[0].plain for column in columns]


@given(COLUMNS, st.integers(60, 120))
def test_a_table_fits(columns, width):
    for table in tables_that_fit("", [FIRST], columns, width=width):
        assert max(map(len, lines([table]))) <= width


def test_parts_are_about_equally_wide():
    columns = [TableColumn(f"c{number}", [Text("0.909–0.942")]) for number in range(6)]
    parts = list(tables_that_fit("", [TableColumn("m", [Text("x")])], columns, width=80))
    headings = [next(line for line in lines([part]) if "c" in line) for part in parts]
    assert [heading.split() for heading in headings] == [
        ["┃", "m", "┃", "c0", "┃", "c1", "┃", "c2", "┃"],
        ["┃", "m", "┃", "c3", "┃", "c4", "┃", "c5", "┃"],
    ]


def test_a_cell_of_two_lines_stays_one_of_two_lines():
    wide = TableColumn("fidelity", [Text("0.978 +\n0.971–0.988")])
    (table,) = tables_that_fit("", [TableColumn("method", [Text("x")])], [wide], width=40)
    assert [line.strip("│ ").split("│")[-1].strip() for line in lines([table]) if "│" in line] == [
        "0.978 +",
        "0.971–0.988",
    ]


def test_a_double_width_sign_takes_two_places():
    assert TableColumn("x", [Text("文字")]).least_width == 4


def test_parts_are_counted_and_the_caption_is_below_the_last():
    columns = [TableColumn("a", [Text("1" * 30)]), TableColumn("b", [Text("2" * 30)])]
    first = TableColumn("method", [Text("x")])
    text = lines(tables_that_fit("scores", [first], columns, width=50, caption="the end"))
    assert [line.strip() for line in text if "scores" in line] == ["scores (1 of 2)", "scores (2 of 2)"]
    assert [line.strip() for line in text if "the end" in line] == ["the end"] == [text[-1].strip()]
    assert lines(tables_that_fit("scores", [first], columns, width=90))[0].strip() == "scores"


def test_title_and_caption_may_be_wider_than_the_table():
    words = " ".join(["word"] * 20)
    column = TableColumn("a", [Text("1")])
    text = lines(tables_that_fit(words, [column], [column], width=120, caption=words))
    assert text[0].strip() == text[-1].strip() == words


def test_prose_is_wrapped_between_words():
    prose = TableColumn("learns", [Text("images, labels, label counts, activations")], "left", is_prose=True)
    (table,) = tables_that_fit("", [TableColumn("method", [Text("x")])], [prose], width=40)
    text = [line.strip("│").split("│")[-1].strip() for line in lines([table]) if "│" in line]
    assert text == ["images, labels, label", "counts, activations"]
    (table,) = tables_that_fit("", [TableColumn("method", [Text("x")])], [prose], width=28)
    text = [line.strip("│").split("│")[-1].strip() for line in lines([table]) if "│" in line]
    assert text == ["images, labels,", "label counts,", "activations"]
