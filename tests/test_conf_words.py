"""What is said of mistakes in configuration: never a word that nobody wrote, nor pydantic's own."""

from collections.abc import Mapping
from typing import Annotated, Literal

import pytest
from pydantic import Discriminator, Field, Tag

from huscf_flwr.conf_files import ConfError, Name, Strict, validate


class Square(Strict):
    kind: Literal["square"]
    side: float = Field(gt=0)


class Circle(Strict):
    kind: Literal["circle"]
    radius: float
    centre: tuple[int, ...] = Field(default=(), max_length=2)


Shape = Annotated[Square | Circle, Field(discriminator="kind")]


def _is_list(said: object) -> str:
    return "(several)" if isinstance(said, list) else "(one)"


class Drawing(Strict):
    name: Name = "drawing"
    shape: Shape | None = None
    shapes: tuple[Shape, ...] = ()
    by_name: Mapping[str, Shape] | None = None
    inner: Annotated[
        Annotated[Square, Tag("(one)")] | Annotated[tuple[Square, ...], Tag("(several)")],
        Discriminator(_is_list),
    ] = ()
    visible: bool = True
    style: Literal["thick", "thin"] = "thin"


def refusal(content, section=""):
    with pytest.raises(ConfError) as caught:
        validate(Drawing, content, "here", section=section)
    return str(caught.value).removeprefix("here: ").split("; ")


SQUARE = {"kind": "square", "radius": 3}
OF_SQUARE = (
    "'{0}.side' is missing: add it",
    "unknown key '{0}.radius' for kind square, which takes {0}.side: remove it or correct its name",
)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"shape": SQUARE}, "shape"),
        ({"shapes": [{"kind": "circle", "radius": 1}, SQUARE]}, "shapes.1"),
        ({"by_name": {"square": SQUARE}}, "by_name.square"),
    ],
)
@pytest.mark.parametrize("section", ["", "page"])
def test_the_kind_of_a_section_is_no_part_of_a_key_and_what_another_kind_takes_is_not_suggested(
    content, place, section
):
    place = f"{section}.{place}" if section else place
    assert refusal(content, section) == [said.format(place) for said in OF_SQUARE]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"shape": {"kind": "circle", "radus": 1, "radius": 1}}, "circle (did you mean 'shape.radius'?)"),
        ({"shape": {"kind": "circle", "radius": "far"}}, "'shape.radius' is 'far': a number is wanted"),
        ({"shape": {"kind": "circle", "radius": 1, "centre": [0.5]}}, "'shape.centre.0' is 0.5: a whole"),
        ({"shape": {"kind": "circel"}}, "'shape.kind' is 'circel' (did you mean 'circle'?): it must be one"),
        ({"shape": {"side": 3}}, "'shape.kind' is missing: add it, one of circle, square"),
        ({"shape": 3}, "'shape' is 3: keys with values are wanted"),
        ({"shapes": 3}, "'shapes' is 3: a list is wanted"),
        ({"shapes": [{"kind": "circle", "radius": 1, "centre": [1, 2, 3]}]}, "at most 2 items are wanted"),
        ({"inner": [{"kind": "square", "side": 0}]}, "'inner.0.side' is 0: it must be greater than 0"),
        ({"inner": {"kind": "square", "side": "x"}}, "'inner.side' is 'x': a number is wanted"),
        ({"name": "a b"}, "'name' is 'a b': a name of letters a to z, digits"),
        ({"name": 201 * "a"}, "aa': it must have at most 200 characters"),
        ({"name": 3}, "'name' is 3: a text is wanted"),
        ({"visible": "perhaps"}, "'visible' is 'perhaps': true or false is wanted"),
        ({"style": "thik"}, "'style' is 'thik' (did you mean 'thick'?): it must be 'thick' or 'thin'"),
    ],
)
def test_what_is_wanted_is_said_in_plain_words(content, said):
    (line,) = refusal(content)
    assert said in line
    assert "valid" not in line
    assert "pattern" not in line
    assert "Input" not in line
