"""Pictures: grids of generated images, curves, and scatter plots.

Both are drawn with matplotlib's objects, without pyplot and its global state, so that several threads
may draw. Colours are told apart with any of the common kinds of colour blindness (after Okabe and Ito,
darkened so that white text can be read on them); every curve also carries its name at its end.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray
from torch import Tensor

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.data import denormalise
from huscf_flwr.existing import check_outputs

_matplotlib_settings = threading.Lock()
"""Matplotlib takes how SVG writes text from settings of the whole process: one thread at a time."""

LIGHT = ("#0072b2", "#c65300", "#00805f", "#b04f87", "#a06a00", "#6a4c93", "#5c6470")
"""Colours of series and clusters on white, in this order."""

DARK = ("#5ab0e8", "#f0935a", "#3cc79d", "#e096c2", "#e3b04b", "#b49be0", "#a7afbb")
"""The same on a dark page."""

INK, DARK_INK = "#4a5058", "#b6bdc8"
GRID, DARK_GRID = "#e3e6ea", "#30353d"

_LINES = (("-", "─"), ((0, (4, 1.6)), "╌"), ((0, (1.2, 1.4)), "┈"), ("-.", "-·"))
_MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"))
"""With the sign of each. Where there are more series than colours, further rounds of colours have others."""

_PANEL_HEIGHT = 2.5
_NAME_HEIGHT = 0.22
"""In inches, at least, and of the name of one curve."""

_TILE_PIXELS = 56
_GAP = 3
_CAPTION_SIZE = 15
_CAPTION_MARGIN = 12
_CAPTION_BEARING = 3
_CAPTION_COLOUR = "#858c96"
_PIXELS_AS_POINTS = 72
_AS_WRITTEN: Mapping[str, Any] = {"parse_math": False, "usetex": False}
"""Names are somebody's: what is between two dollar signs is no formula."""
_FONT = "DejaVu Sans"
_FURTHER_FONTS = (
    *(
        "Noto Sans CJK SC",
        "Noto Sans CJK JP",
        "Source Han Sans SC",
        "WenQuanYi Zen Hei",
        "WenQuanYi Micro Hei",
    ),
    *("Droid Sans Fallback", "IPAGothic", "NanumGothic", "Noto Sans Devanagari", "Noto Sans Thai"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "MS Gothic", "Malgun Gothic", "Arial Unicode MS"),
)
"""They have signs that ours lacks; those that are there are asked for these."""


@dataclass(frozen=True)
class Panel:
    """One coordinate system of curves over the rounds, or over another quantity.

    Attributes:
        title: above it; may be empty.
        series: by name, the (round, value) points; a value of `None` leaves a gap. In a scatter plot each has
            one point.
        limits: lowest and highest value shown; `None` takes what the values need.
        digits: decimal places of the last value, which is written beside the name.
        first_colour: place in the palette of the first curve, so that panels about different things
            need not share their colours.
        x_label: what the points' first numbers are.
        x_logarithmic: whether these are shown on a logarithmic scale; all are then above zero.
    """

    title: str
    series: Mapping[str, Sequence[tuple[float, float | None]]]
    limits: tuple[float | None, float | None] = (None, None)
    digits: int = 2
    first_colour: int = 0
    x_label: str = "round"
    x_logarithmic: bool = False

    def is_empty(self) -> bool:
        """Tell whether there is not a single known value."""
        return all(value is None for points in self.series.values() for _, value in points)


def sample_grid(
    path: Path, images: Tensor, columns: int, captions: Sequence[str], empty: Sequence[int] = ()
) -> None:
    """Write a grid of images as PNG, one row for each caption, on a transparent ground.

    The ground between the tiles is transparent and the captions are mid-grey, so that the picture suits
    a light and a dark page. Small images are enlarged by a whole number, each pixel to a square.

    Args:
        path: of the file; its folder is made when needed, and it appears complete or not at all.
        images: floating point [N, C, H, W] in [-1, 1], row by row, with C of 1 or 3.
        columns: images in a row; the last row may have fewer.
        captions: one for each row, such as its label.
        empty: which of the images are not shown: their places stay as the ground is.

    Raises:
        ValueError: if there are no images, the number of channels is another, or the number of captions
            is not that of the rows.
    """
    _check_grid(images, columns, captions)
    tiles = _tiles(images)
    tiles[list(empty)] = 0
    gutter = _gutter(captions)
    canvas = _arrange(tiles, columns, gutter)
    height, width = canvas.shape[:2]
    figure = Figure((width / _PIXELS_AS_POINTS, height / _PIXELS_AS_POINTS), dpi=_PIXELS_AS_POINTS)
    figure.figimage(canvas)
    for row, caption in enumerate(captions):
        middle = row * (tiles.shape[1] + _GAP) + tiles.shape[1] / 2
        _write(figure, ((gutter - _CAPTION_MARGIN) / width, 1 - middle / height), caption)
    _save_png(figure, path)


def curves(panels: Sequence[Panel], columns: int = 1) -> Figure:
    """Draw panels of curves, so many columns wide, each curve named at its end.

    Raises:
        ValueError: if there are no panels.
    """
    return _drawn(panels, columns, _draw_series)


def scatter(panels: Sequence[Panel], columns: int = 1) -> Figure:
    """Draw panels of single points, so many columns wide, each named at the right, at its height.

    Raises:
        ValueError: if there are no panels.
    """
    return _drawn(panels, columns, _draw_points)


def _drawn(panels: Sequence[Panel], columns: int, draw: Callable[[Axes, Panel], None]) -> Figure:
    if not panels:
        raise ValueError("there are no panels to draw: give at least one")
    rows = math.ceil(len(panels) / columns)
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.06, hspace=0.08)
    names = max(sum(bool(points) for points in panel.series.values()) for panel in panels)
    height = max(_PANEL_HEIGHT, _NAME_HEIGHT * (names + 2))
    figure = Figure((4.7 * columns, height * rows), layout=layout)
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        _style(axes, panel)
        draw(axes, panel)
    return figure


def themed_svg(figure: Figure) -> str:
    """Return a figure as SVG that follows the light or dark theme of whoever looks at it."""
    buffer = io.StringIO()
    with _matplotlib_settings, rc_context({"svg.fonttype": "none", "svg.hashsalt": "huscf"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    themes = dict(zip((*LIGHT, INK, GRID), (*DARK, DARK_INK, DARK_GRID), strict=True))
    drawing = buffer.getvalue().replace("'DejaVu Sans'", "system-ui, 'Segoe UI', 'DejaVu Sans'")
    for light in themes:
        drawing = drawing.replace(light, f"var(--{light[1:]})")
    place = drawing.index(">", drawing.index("<svg")) + 1
    return drawing[:place] + _theme_style(themes) + drawing[place:]


def _theme_style(themes: Mapping[str, str]) -> str:
    light = ";".join(f"--{name[1:]}:{name}" for name in themes)
    dark = ";".join(f"--{name[1:]}:{colour}" for name, colour in themes.items())
    return f"<style>:root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"


def _check_grid(images: Tensor, columns: int, captions: Sequence[str]) -> None:
    if len(images) == 0 or images.shape[1] not in (1, 3):
        raise ValueError(f"images are {list(images.shape)}: give at least one, with 1 or 3 channels")
    rows = math.ceil(len(images) / columns)
    if len(captions) != rows:
        raise ValueError(f"{len(images)} images in {columns} columns are {rows} rows, not {len(captions)}")


def _tiles(images: Tensor) -> NDArray[np.uint8]:
    """Return images as RGBA bytes [N, H, W, 4], enlarged by a whole number."""
    scale = max(1, round(_TILE_PIXELS / images.shape[-2]))
    pixels = denormalise(images.detach().float()).expand(-1, 3, -1, -1)
    opaque = torch.cat([pixels, torch.full_like(pixels[:, :1], 255)], dim=1)
    large = opaque.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    tiles: NDArray[np.uint8] = large.permute(0, 2, 3, 1).contiguous().numpy()
    return tiles


def _gutter(captions: Sequence[str]) -> int:
    """Return the pixels that the captions need, their distance to the tiles included."""
    figure = Figure(dpi=_PIXELS_AS_POINTS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    with _missing_signs_unsaid():
        widths = [_write(figure, (0, 0), text).get_window_extent(renderer).width for text in captions if text]
    return math.ceil(max(widths)) + _CAPTION_BEARING + _CAPTION_MARGIN if widths else 0


def _write(figure: Figure, end: tuple[float, float], caption: str) -> Text:
    """Write a caption that ends at ``end``, in shares of the figure's width and height."""
    return figure.text(
        *end, caption, ha="right", va="center_baseline", size=_CAPTION_SIZE, color=_CAPTION_COLOUR,
        fontfamily=_fonts(), **_AS_WRITTEN,
    )  # fmt: skip


def _arrange(tiles: NDArray[np.uint8], columns: int, gutter: int) -> NDArray[np.uint8]:
    count, height, width, _ = tiles.shape
    rows = math.ceil(count / columns)
    shape = rows * (height + _GAP) - _GAP, gutter + columns * (width + _GAP) - _GAP, 4
    canvas = np.zeros(shape, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + _GAP), gutter + index % columns * (width + _GAP)
        canvas[top : top + height, left : left + width] = tile
    return canvas


@cache
def _fonts() -> tuple[str, ...]:
    """Return the families of fonts that captions are written in, the first that has a sign goes before."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    return (_FONT, *(name for name in _FURTHER_FONTS if name in there))


@contextmanager
def _missing_signs_unsaid() -> Iterator[None]:
    """Let a sign that no font has be drawn as a box, without a line about it after every round."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        yield


def check_figure(path: Path | None, *, replaces: bool) -> None:
    """Check that the figure that a command is asked for can be written; None if it is asked for none.

    Raises:
        UnusableFolderError, FileExistsError: as ``check_outputs`` does.
        ValueError: if the suffix of ``path`` names no format in which figures can be written.
    """
    if path is None:
        return
    check_outputs(files=[path], replaces=replaces)
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if _format(path) not in formats:
        raise ValueError(f"{path} cannot be drawn: give it a name that ends in .{', .'.join(formats)}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, complete or not at all; the suffix of ``path`` says in which format, PNG if none.

    Raises ``ValueError`` for one that Matplotlib does not have.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=_format(path), dpi=150)
    write_atomically(path, buffer.getvalue(), durable=False)


def _save_png(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    with _missing_signs_unsaid():
        figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    write_atomically(path, buffer.getvalue(), durable=False)


def _style(axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title, loc="left", size=9.5, color=INK, pad=10, weight="bold", **_AS_WRITTEN)
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=INK, pad=5)
    if panel.x_logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        shown = [x for points in panel.series.values() for x, value in points if value is not None]
        if shown and max(shown) < 20 * min(shown):  # powers of ten alone would be one number, or none
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
            axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.margins(x=0.018)
    axes.set_xlabel(panel.x_label, size=8, color=INK)


def _draw_series(axes: Axes, panel: Panel) -> None:
    ends: list[tuple[float, str, str]] = []
    for index, (name, points) in enumerate(panel.series.items(), start=panel.first_colour):
        colour = LIGHT[index % len(LIGHT)]
        rounds = [number for number, _ in points]
        values = [math.nan if value is None else value for _, value in points]
        axes.plot(
            rounds, values, color=colour, linewidth=1.8, solid_capstyle="round", clip_on=False,
            linestyle=_of_lap(_LINES, index)[0],
        )  # fmt: skip
        known = [(number, value) for number, value in points if value is not None]
        if known:
            axes.plot(*known[-1], marker="o", markersize=4.5, color=colour, clip_on=False)
            said = _signed(name, panel, _of_lap(_LINES, index)[1])
            ends.append((known[-1][1], f"{said}  {known[-1][1]:.{panel.digits}f}", colour))
    axes.set_ylim(*panel.limits)
    _name_ends(axes, ends)


def _draw_points(axes: Axes, panel: Panel) -> None:
    ends: list[tuple[float, str, str]] = []
    for index, (name, points) in enumerate(panel.series.items(), start=panel.first_colour):
        colour = LIGHT[index % len(LIGHT)]
        for x, value in points:
            if value is not None:
                axes.plot(x, value, marker=_of_lap(_MARKERS, index)[0], markersize=6, color=colour)
                ends.append((value, _signed(name, panel, _of_lap(_MARKERS, index)[1]), colour))
    axes.margins(0.06)
    axes.set_ylim(*panel.limits)
    _name_ends(axes, ends)


def _signed(name: str, panel: Panel, sign: str) -> str:
    """Return a name, after the sign of its style where two names have the same colour."""
    return f"{sign} {name}" if len(panel.series) > len(LIGHT) else name


def _of_lap(styles: Sequence[Any], index: int) -> Any:
    return styles[index // len(LIGHT) % len(styles)]


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each curve's name beside its last value, moved apart where two would touch."""
    low, high = axes.get_ylim()
    wanted = sorted(((value - low) / (high - low), text, colour) for value, text, colour in ends)
    inches = axes.get_window_extent().height / axes.figure.dpi
    distance = _NAME_HEIGHT / inches
    heights = _below_the_top(_spread([height for height, _, _ in wanted], distance), distance)
    options: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    for height, (_, text, colour) in zip(heights, wanted, strict=True):
        axes.annotate(
            text, (1.0, height), xytext=(8, 0), va="center", size=8, color=colour, annotation_clip=False,
            **options, **_AS_WRITTEN,
        )  # fmt: skip


def _spread(heights: Sequence[float], distance: float) -> list[float]:
    """Move sorted heights apart to at least `distance`, as a group around where they were.

    Neighbours that would touch are joined to a group, centred on the mean of what its members wanted.
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], distance) - _top(groups[-2], distance) < distance:
            last = groups.pop()
            groups[-1] += last
    return [_bottom(group, distance) + place * distance for group in groups for place in range(len(group))]


def _below_the_top(heights: Sequence[float], distance: float) -> list[float]:
    """Move sorted heights down where they would be above the axes; they stay as far apart."""
    highest = [1 - place * distance for place in reversed(range(len(heights)))]
    return list(map(min, heights, highest))


def _bottom(group: Sequence[float], distance: float) -> float:
    return sum(group) / len(group) - distance * (len(group) - 1) / 2


def _top(group: Sequence[float], distance: float) -> float:
    return sum(group) / len(group) + distance * (len(group) - 1) / 2


def _format(path: Path) -> str:
    return path.suffix.removeprefix(".").lower() or "png"
