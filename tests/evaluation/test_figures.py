import itertools
import threading
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image as png
from matplotlib.backends.backend_agg import FigureCanvasAgg

from huscf_flwr.evaluation.figures import LIGHT, Panel, _spread, curves, sample_grid, scatter, themed_svg


def test_a_grid_shows_every_image_in_its_place(tmp_path):
    # Six images of one grey each, 28 pixels wide: enlarged twice, 3 transparent pixels between.
    greys = torch.tensor([-1.0, 1.0, 0.2, -0.6, 0.6, -0.2])
    path = tmp_path / "deep" / "grid.png"
    sample_grid(path, greys[:, None, None, None].expand(-1, 1, 28, 28), 3, ["", ""])
    pixels = (png.imread(path) * 255).round()
    assert pixels.shape == (2 * 56 + 3, 3 * 56 + 2 * 3, 4)
    expected = ((greys + 1) * 127.5).round()
    for index, grey in enumerate(expected.tolist()):
        top, left = index // 3 * 59, index % 3 * 59
        tile = pixels[top : top + 56, left : left + 56]
        assert np.all(tile == [grey, grey, grey, 255]), index
    assert np.all(pixels[56:59, :, 3] == 0)
    assert np.all(pixels[:, 56:59, 3] == 0)


def test_an_empty_place_stays_as_the_ground_is(tmp_path):
    sample_grid(tmp_path / "grid.png", torch.ones(4, 1, 28, 28), 2, ["", ""], [1, 2])
    opaque = png.imread(tmp_path / "grid.png")[:, :, 3]
    shown = [bool(opaque[top : top + 56, left : left + 56].any()) for top in (0, 59) for left in (0, 59)]
    assert shown == [True, False, False, True]


def test_colours_stay_colours_and_small_images_become_squares(tmp_path):
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 8, 8)
    sample_grid(tmp_path / "grid.png", red, 1, [""])
    pixels = png.imread(tmp_path / "grid.png")
    assert pixels.shape == (56, 56, 4)
    assert np.all(pixels == [1, 0, 0, 1])


def test_captions_are_written_beside_their_rows_and_inside_the_picture(tmp_path):
    sample_grid(tmp_path / "grid.png", torch.zeros(2, 1, 28, 28), 1, ["7", "ankle boot"])
    pixels = png.imread(tmp_path / "grid.png")
    gutter = pixels[:, : -56 - 3, 3]
    assert gutter[:56].any()
    assert gutter[59:].any()
    assert not gutter[:, 0].any(), "a caption is cut off at the left"


def written(tmp_path, caption):
    sample_grid(tmp_path / "grid.png", torch.zeros(1, 1, 28, 28), 1, [caption])
    return png.imread(tmp_path / "grid.png")[:, : -56 - 3, 3]


@pytest.mark.parametrize(
    "caption",
    [
        "a $^$ b",
        "cost $1 to $2",
        r"\$x$",
        "$",
        r"a\b",
        "100%",
        "_x^2_ {",
        "猫と犬",
        "고양이",
        "🐄",
        "<b>&amp;",
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_caption_may_have_any_signs(tmp_path, caption):
    pixels = written(tmp_path, caption)
    assert pixels.any()
    assert not pixels[:, 0].any(), "the caption is cut off at the left"


def test_dollar_signs_are_written_and_not_taken_for_a_formula(tmp_path):
    """As a formula, the text between them has no dollar signs and no spaces: it is narrower."""
    in_dollars, without = (written(tmp_path, caption).shape[1] for caption in ("$1 to 2$", "1 to 2"))
    assert in_dollars > without + 10


def test_only_the_finished_picture_is_left(tmp_path):
    sample_grid(tmp_path / "grid.png", torch.zeros(1, 1, 8, 8), 1, ["0"])
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def test_equal_images_give_equal_files(tmp_path):
    for name in "ab":
        sample_grid(tmp_path / name, torch.zeros(3, 1, 8, 8), 2, ["0", "1"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("shape", "captions", "message"),
    [
        ((0, 1, 8, 8), [], "at least one"),
        ((4, 2, 8, 8), ["", ""], "channels"),
        ((4, 1, 8, 8), [""], "2 rows"),
    ],
)
def test_grids_that_cannot_be_drawn_are_refused(tmp_path, shape, captions, message):
    with pytest.raises(ValueError, match=message):
        sample_grid(tmp_path / "grid.png", torch.zeros(shape), 2, captions)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", [curves, scatter])
def test_names_in_charts_may_have_any_signs(draw):
    names = ["a $^$ b", "cost $1 to $2"]
    panels = [Panel(name, {f"of {name}": [(1, 0.5)]}) for name in names]
    drawn = texts(themed_svg(draw(panels)))
    for name in names:
        assert name in drawn
        assert any(each and f"of {name}" in each for each in drawn)


def texts(drawing):
    return [
        element.text for element in ElementTree.fromstring(drawing).iter() if element.tag.endswith("text")
    ]


def test_each_curve_carries_its_name_and_its_last_known_value():
    panel = Panel("Fidelity", {"digits": [(1, 0.2), (2, 0.914), (3, None)], "letters": [(1, 0.5)]}, (0, 1))
    written = texts(themed_svg(curves([panel])))
    assert {"Fidelity", "digits  0.91", "letters  0.50"} <= set(written)


def test_a_drawing_follows_the_readers_theme():
    drawing = themed_svg(curves([Panel("Loss", {"generator": [(1, 0.2)]})]))
    assert "prefers-color-scheme:dark" in drawing
    assert "stroke: var(--0072b2)" in drawing
    assert "stroke: #0072b2" not in drawing


def test_equal_curves_give_equal_drawings():
    panel = Panel("Loss", {"generator": [(1, 0.2), (2, 0.3)]})
    assert themed_svg(curves([panel, panel], columns=2)) == themed_svg(curves([panel, panel], columns=2))


def test_several_threads_may_draw():
    panel = Panel("Loss", {"generator": [(1, 0.2), (2, 0.3)]})
    alone, together = themed_svg(curves([panel])), []
    threads = [
        threading.Thread(target=lambda: together.append(themed_svg(curves([panel])))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 4


def test_names_in_a_drawing_are_escaped():
    drawing = themed_svg(curves([Panel("a < b", {"<script>": [(1, 0.2)]})]))
    assert "<script>" not in drawing
    assert "a < b" in texts(drawing)


def test_a_panel_without_any_value_knows_it():
    assert Panel("", {}).is_empty()
    assert Panel("", {"digits": [], "letters": [(1, None)]}).is_empty()
    assert not Panel("", {"digits": [(1, 0.0)]}).is_empty()


def test_empty_panels_can_be_drawn_and_no_panels_cannot():
    assert "Loss" in texts(themed_svg(curves([Panel("Loss", {"digits": []})])))
    with pytest.raises(ValueError, match="at least one"):
        curves([])


@given(st.lists(st.floats(0, 1), max_size=7))
def test_names_are_moved_apart_and_keep_their_order(heights):
    moved = _spread(sorted(heights), 0.1)
    assert len(moved) == len(heights)
    assert all(upper - lower >= 0.1 - 1e-9 for lower, upper in itertools.pairwise(moved))


def test_names_that_do_not_touch_stay_where_they_are():
    assert _spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert _spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])


def test_pyplot_is_not_involved():
    source = Path(curves.__code__.co_filename).read_text(encoding="utf-8")
    assert "import pyplot" not in source
    assert "matplotlib.pyplot" not in source


def test_names_of_many_curves_stay_within_the_axes_and_apart():
    series = {f"curve {number}": [(1.0, 0.9), (2.0, 0.99 + number / 10_000)] for number in range(20)}
    figure = curves([Panel("Many", series, (0.0, 1.0))])
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    heights = sorted(text.xy[1] for text in axes.texts)
    assert len(heights) == 20
    assert heights[-1] <= 1
    size = max(text.get_window_extent().height for text in axes.texts)
    gaps = [later - earlier for earlier, later in itertools.pairwise(heights)]
    assert min(gaps) * axes.get_window_extent().height > 0.9 * size


def test_curves_are_told_apart_by_signs_only_where_two_have_the_same_colour():
    def names(count):
        series = {f"curve {n}": [(1.0, 0.1), (2.0, n / 10)] for n in range(count)}
        figure = curves([Panel("", series, (0.0, 1.0), digits=1, first_colour=2)])
        FigureCanvasAgg(figure).draw()
        return [text.get_text() for text in figure.axes[0].texts]

    few, many = names(len(LIGHT)), names(len(LIGHT) + 2)
    assert few == [f"curve {n}  {n / 10}" for n in range(len(LIGHT))]
    assert len({text.split()[0] for text in many}) == 2
    assert len(set(many)) == len(many)


def test_points_are_named_where_they_are_and_a_logarithmic_axis_has_few_numbers():
    series = {f"point {number}": [(10.0 ** (number % 3), number / 10)] for number in range(9)} | {"none": []}
    figure = scatter([Panel("Points", series, x_label="bytes", x_logarithmic=True)])
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "bytes"
    # More points than colours: the sign of each says which of two it is.
    signs = "●" * len(LIGHT) + "■" * (9 - len(LIGHT))
    assert [text.get_text() for text in axes.texts] == [f"{signs[n]} point {n}" for n in range(9)]
    assert all(not label.get_text() for label in axes.get_xticklabels(minor=True))
    markers = {line.get_marker() for line in axes.lines}
    assert len(markers) == 2
