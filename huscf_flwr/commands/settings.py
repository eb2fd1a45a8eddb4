"""``huscf settings``: all that a run's file and ``--set`` can say."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import print_json
from huscf_flwr.conf_files import did_you_mean_key
from huscf_flwr.config import Setting, SettingGroup, common_settings, described_settings
from huscf_flwr.methods import BUILT_IN, method_named
from huscf_flwr.run.terminal import say, terminal

_PAGE_WIDTH = 110
_HEAD = """\
# Settings

Every setting of a run, with the values that it takes, its default, and what it does: first those of every
run, then those that each method has in a section of its name. [configuration.md](configuration.md) says how
they are written, and when a default is another: a `mode` sets some, and `flwr run` takes `pyproject.toml`'s.

`huscf settings` shows the same in a terminal. This page is what `huscf settings --format markdown` prints."""


class SettingsFormat(StrEnum):
    """How settings are printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def settings_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...",
            help="a section, such as wire, a setting, such as model.width, or a class of your own",
        ),
    ] = None,
    output_format: Annotated[
        SettingsFormat, typer.Option("--format", help="table, json or markdown")
    ] = SettingsFormat.TABLE,
) -> None:
    """Show the settings of a run: values, defaults, and what they do.

    A setting that is named is shown with all that is said of it, others with the first sentence.
    """
    with errors_as_messages():
        every = list(_every_group())
        chosen = [group for word in dict.fromkeys(words or ()) for group in _named(word, every)] or every
        if output_format is SettingsFormat.JSON:
            print_json(
                [{"section": group.section, **asdict(each)} for group in chosen for each in group.settings]
            )
        elif output_format is SettingsFormat.MARKDOWN:
            head = [] if words else [_HEAD, _links(chosen)]
            say("\n\n".join([*head, *map(_as_markdown, chosen)]))
        else:
            _show(chosen, whole=[group not in every for group in chosen])


def _every_group() -> Iterator[SettingGroup]:
    yield from common_settings()
    yield from map(_of_method, BUILT_IN)


def _of_method(name: str) -> SettingGroup:
    settings = method_named(name).Settings
    return described_settings(settings, settings.section)


def _named(word: str, groups: Sequence[SettingGroup]) -> list[SettingGroup]:
    """Return what a word names: a whole section, or settings alone, by their key or the last part of it.

    Raises ``ConfError`` if ``word`` should name a class and does not, and ``ValueError`` if it names nothing.
    """
    if ":" in word:
        return [_of_method(word)]
    key = word.replace("-", "_")
    if sections := [group for group in groups if key and group.section == key]:
        return sections
    known = [each.key for group in groups for each in group.settings]
    keys = {key} & set(known) or {each for each in known if each.rpartition(".")[2] == key}
    if not keys:
        near = did_you_mean_key(key, [*known, *(group.section for group in groups if group.section)])
        raise ValueError(f"'{word}' is no setting and no section{near}; huscf settings shows all")
    return [_only(keys, group) for group in groups if any(each.key in keys for each in group.settings)]


def _only(keys: Iterable[str], group: SettingGroup) -> SettingGroup:
    """Return a group with these of its settings, and nothing said of the section."""
    return replace(
        group, introduction="", settings=tuple(each for each in group.settings if each.key in keys)
    )


def _heading(group: SettingGroup) -> str:
    return group.section or "without a section"


def _limits(setting: Setting) -> str:
    """Return which values a setting takes, and which it has if nothing is said."""
    if setting.is_required:
        return f"{setting.values}; must be said"
    default = setting.default
    return f"{setting.values}; default `{default if isinstance(default, str) else json.dumps(default)}`"


def _links(groups: Iterable[SettingGroup]) -> str:
    headings = dict.fromkeys(map(_heading, groups))
    links = ", ".join(f"[{each}](#{each.replace(' ', '-')})" for each in headings)
    return textwrap.fill(f"Sections: {links}.", _PAGE_WIDTH, break_on_hyphens=False)


def _as_markdown(group: SettingGroup) -> str:
    parts = [f"## {_heading(group)}"]
    if group.introduction:
        parts.append(textwrap.fill(group.introduction, _PAGE_WIDTH, break_on_hyphens=False))
    if group.settings:
        parts.append("\n".join(map(_as_item, group.settings)))
    return "\n\n".join(parts)


def _as_item(setting: Setting) -> str:
    said = f"- **`{setting.key}`** ({_limits(setting)}). {setting.description}"
    return textwrap.fill(said, _PAGE_WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _show(groups: Sequence[SettingGroup], whole: Sequence[bool]) -> None:
    """Show groups in the terminal; of each the whole descriptions, or their first sentences only."""
    console = terminal()
    for number, (group, is_whole) in enumerate(zip(groups, whole, strict=True)):
        console.print(Text("\n" if number else "").append(_heading(group), "bold"))
        if group.introduction:
            console.print(Text(group.introduction))
        console.print(_as_table(group, is_whole))
    if not all(whole):
        console.print(Text("\nOne sentence each: huscf settings KEY has all that is said of a setting."))


def _as_table(group: SettingGroup, is_whole: bool) -> Table:
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in group.settings:
        said = each.description if is_whole else each.summary
        lines = (Text(said), Text(_limits(each), "dim"))
        table.add_row(Text(each.key, "cyan"), Text("\n").join(line for line in lines if line))
    return table
