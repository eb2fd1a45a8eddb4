"""``huscf privacy``: attack a run with what really crosses, and say what the server gets."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from huscf_flwr.commands.errors import errors_as_messages
from huscf_flwr.commands.options import (
    Format,
    OutputFormat,
    Overrides,
    check_is_run,
    names_in,
    print_json,
    read_run_config,
)
from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.config import load_config
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.home import home_expanded
from huscf_flwr.models import Cut
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.audited_runs import Wanted, audit_config, audit_run
from huscf_flwr.privacy.ceilings import NAMES, Ceilings
from huscf_flwr.privacy.defences import AS_CONFIGURED, DEFENCES
from huscf_flwr.privacy.guarantee import NONE
from huscf_flwr.privacy.registry import ATTACKS, DEFAULT_ATTACKS, ON_REQUEST
from huscf_flwr.privacy.shadows import check_shadows
from huscf_flwr.privacy.table import (
    LEGEND,
    audit_table,
    findings_table,
    fitting,
    guarantees,
    width_of,
)
from huscf_flwr.run.display import Display, NoDisplay, TerminalDisplay
from huscf_flwr.run.interruption import stopping_at_once
from huscf_flwr.run.terminal import wide_terminal

_NAMES = ", ".join((*DEFENCES, AS_CONFIGURED))
_WIDTH = 170
_LEAST_OF_FINDINGS = 120
"""Characters, below which sentences in columns can hardly be read."""
_ROUNDS = 2


def privacy_command(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(metavar="RUN", help="a run's folder; or a configuration, which is trained first"),
    ],
    *,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="of the training of a configuration; 2 if not given")
    ] = None,
    cuts: Annotated[
        str, typer.Option("--cuts", help="of all clients of a configuration, such as 1-1-1-1,1-1-2-1")
    ] = "",
    defences: Annotated[
        str,
        typer.Option(
            "--defences",
            help=f"in the place of a configuration's own, which are kept if not given: some of {_NAMES}",
        ),
    ] = "",
    attacks: Annotated[
        str,
        typer.Option("--attacks", help=f"some of {', '.join(ATTACKS)}; {', '.join(ON_REQUEST)} train models"),
    ] = ",".join(DEFAULT_ATTACKS),
    shadows: Annotated[
        int, typer.Option("--shadows", help="models that A6 trains for each client, an even number")
    ] = 4,
    clients: Annotated[int, typer.Option("--clients", min=1, help="attacked of those with each cut")] = 2,
    ceiling: Annotated[
        list[str] | None,
        typer.Option(
            "--ceiling",
            metavar="NAME=VALUE",
            help=(
                "exit with 1 unless something shows that it holds, such as psnr=20,labels=0.5; there are "
                f"{', '.join(NAMES)}"
            ),
        ),
    ] = None,
    settings: Overrides = None,
    output_format: OutputFormat = Format.TABLE,
) -> None:
    """Attack what crosses in a round, as a curious server would, and say what it gets.

    Of a run, one more round is trained from its last checkpoint. The run's folder, or that of each training,
    then has privacy/ with values and pictures, and a report that shows them.
    """
    with errors_as_messages(["huscf", "privacy"]):
        ceilings = Ceilings.of(ceiling or ())
        check_shadows(shadows)
        wanted = Wanted(_known(attacks, ATTACKS, "--attacks"), clients, shadows, _given(context), ceilings)
        with _display(output_format) as display, progress_told(Paced(display.note)), stopping_at_once():
            run = _folder_or_configuration(target)
            if run.is_dir():
                check_is_run(run)
                _refuse_for_runs(rounds, cuts, defences, settings)
                ceilings.check_asked(wanted.attacks, load_config(str(run / "config.yaml")))
                found = [audit_run(run, wanted, display)]
            else:
                config = read_run_config(target, settings)
                ceilings.check_asked(wanted.attacks, config)
                found = audit_config(
                    config,
                    rounds=rounds or _ROUNDS,
                    cuts=[_cut(text) for text in names_in(cuts)],
                    defences=_known(defences or AS_CONFIGURED, (*DEFENCES, AS_CONFIGURED), "--defences"),
                    wanted=wanted,
                    display=display,
                )
        _show(found, output_format)
        for sentence in _of_ceilings(found):
            typer.echo(sentence, err=True)
        if not all(outcome.holds for audited in found for outcome in audited.ceilings):
            raise typer.Exit(1)


def _folder_or_configuration(target: str) -> Path:
    """Return a path; raises ``ValueError`` for one at which there is nothing."""
    path = home_expanded(target)
    if ("/" in target or target.startswith("~")) and not path.exists():
        raise ValueError(
            f"{path}: no such folder or file; give the folder of a run, such as runs/demo, or a "
            "configuration, such as demo"
        )
    return path


def _given(context: typer.Context) -> str:
    """Return the command as somebody would write it again, without what is as it is by default."""
    words = ["huscf", "privacy"]
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        if value is None or value == parameter.default:
            continue
        option = parameter.opts[:1] if parameter.param_type_name == "option" else []
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [*option, str(getattr(each, "value", each))]
    return shlex.join(words)


def _display(output_format: Format) -> AbstractContextManager[Display]:
    return TerminalDisplay() if output_format is Format.TABLE else nullcontext(NoDisplay())


def _show(found: list[Audited], output_format: Format) -> None:
    if output_format is Format.JSON:
        print_json([audited.as_json() for audited in found])
        return
    console = wide_terminal(_WIDTH)
    if any(audited.cuts or audited.guarantee != NONE for audited in found):
        table = audit_table(found)
        wide = wide_terminal(max(_WIDTH, width_of(table)))
        wide.print(fitting(table, wide.width, width_of(table)))
        if any(audited.cuts for audited in found):
            console.print(LEGEND, style="dim")
    if any(audited.findings for audited in found):
        console.print(fitting(findings_table(found), console.width, _LEAST_OF_FINDINGS))
    for sentence in _sentences(found):
        # A line for each where it is no terminal, so that it can be searched.
        console.print(sentence, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def _sentences(found: list[Audited]) -> Iterator[str]:
    for guaranteed in guarantees(found):
        yield f"{guaranteed}."
    for audited in found:
        if audited.replaced:
            yield f"{audited.defence}: not as configured, in the place of {', '.join(audited.replaced)}."
        for sentence in audited.verdict:
            yield f"{audited.defence}: {sentence}."
        yield f"report: {audited.config.folder / 'report.html'}"


def _of_ceilings(found: list[Audited]) -> Iterator[str]:
    """Yield why ceilings do not hold, or what those that do leave open; then of each run which ones hold."""
    defences = Counter(audited.defence for audited in found)
    for audited in found:
        told = (sentence for each in audited.ceilings for sentence in (*each.against, *each.caveats))
        yield from dict.fromkeys(told)
        if audited.ceilings:
            which = audited.defence if defences[audited.defence] == 1 else audited.config.name
            yield f"{which}: {'; '.join(map(str, audited.ceilings))}"


def _refuse_for_runs(rounds: int | None, cuts: str, defences: str, settings: list[str] | None) -> None:
    given = [
        name
        for name, is_given in (
            ("--rounds", rounds is not None),
            ("--cuts", bool(cuts)),
            ("--defences", bool(defences)),
            ("--set", bool(settings)),
        )
        if is_given
    ]
    if given:
        raise ValueError(
            f"{given[0]} needs a configuration, which is trained anew: a run goes on as it was trained"
        )


def _known(text: str, known: Collection[str], option: str) -> tuple[str, ...]:
    names = names_in(text)
    for name in names or [text]:
        if name not in known:
            raise ValueError(
                f"{option}: '{name}'{did_you_mean(name, list(known))}: there are {', '.join(known)}"
            )
    return names


def _cut(text: str) -> Cut:
    numbers = text.split("-")
    if len(numbers) != len(Cut._fields) or not all(number.isdecimal() for number in numbers):
        raise ValueError(
            f"--cuts: '{text}'; write the blocks kept in generator head, generator tail, discriminator head "
            "and discriminator tail, such as 1-1-2-1"
        )
    return Cut(*map(int, numbers))
