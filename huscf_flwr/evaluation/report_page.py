"""The report's page, made of Jinja templates that escape every value.

They are Python strings because Flower's app bundle does not carry `.html` files. The page loads nothing:
pictures are data URIs, there is no script, and fonts are the reader's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from jinja2 import DictLoader, Environment, StrictUndefined, Template

from huscf_flwr.evaluation import formats
from huscf_flwr.evaluation.figures import DARK, LIGHT
from huscf_flwr.evaluation.report_body import BODY
from huscf_flwr.evaluation.report_privacy_body import PRIVACY_SECTION
from huscf_flwr.evaluation.report_style import STYLE
from huscf_flwr.metrics import Metric


def render_page(values: Mapping[str, object]) -> str:
    """Return the whole page for the sections that `report.py` gives."""
    return render(_page(), values)


def render(page: Template, values: Mapping[str, object]) -> str:
    """Return what a template of `page_template` makes of its values."""
    return page.render(values, light=LIGHT, dark=DARK, unknown=formats.UNKNOWN)


@cache
def _page() -> Template:
    return page_template('{{ name }} · {{ method or "a" }} run', BODY, privacy=PRIVACY_SECTION)


def page_template(title: str, body: str, **included: str) -> Template:
    """Return the template of a page in the report's style; all arguments are templates themselves.

    ``body`` may include the others by name.
    """
    environment = Environment(
        loader=DictLoader({"page": _PAGE, "style": STYLE, "title": title, "body": body, **included}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimal=formats.decimal,
        percent=_unbroken(formats.percent),
        count=formats.count,
        bytes=_unbroken(formats.byte_count),
        duration=_unbroken(formats.duration),
        setting=_setting,
        of_metric=_of_metric,
    )
    return environment.get_template("page")


def _unbroken(form: Callable[..., str]) -> Callable[..., str]:
    """Keep a number and its unit on one line."""
    return lambda *arguments: form(*arguments).replace(" ", "\u00a0")


def _of_metric(value: object, metric: Metric) -> str:
    if metric.percent:
        return _unbroken(formats.percent)(value)
    return formats.decimal(value, metric.digits)


def _setting(value: object) -> str:
    if value is None:
        return formats.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or formats.UNKNOWN
    return str(value)


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{% include "title" %}</title>
<style>
{% include "style" %}

</style>
</head>
<body>
{% include "body" %}

</body>
</html>
"""
