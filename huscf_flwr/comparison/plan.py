"""Which runs a comparison is made of: one for each scenario, column and seed."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    NonNegativeInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from huscf_flwr.comparison.origin import SAFE_TO_OVERRIDE
from huscf_flwr.conf_files import (
    NAME_FORM,
    ConfError,
    Strict,
    did_you_mean,
    find_conf,
    known_confs,
    read_yaml,
    validate,
)
from huscf_flwr.config import RunConfig
from huscf_flwr.config.reading import put_overrides, with_absolute_paths
from huscf_flwr.cuts import deal_devices
from huscf_flwr.data import DataError, following_data
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.metrics import metric_named, registered_names
from huscf_flwr.run.wire_choice import chosen_wire

OWN_KEYS = ("name", "output", "seed", "resume", "resume_round")
"""Settings of runs that the comparison itself decides."""

_OF_NO_DOMAIN = ("ari", "silhouette", "epsilon")
"""Scores of clusters and of budgets."""

Settings = dict[str, Any]
"""Of runs, as in ``conf/runs``."""


def _seeds(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        seeds = handler(value)
    except ValidationError:
        seeds = ()
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError("expected a list of whole numbers from 0, each once, such as [0, 1, 2]")
    return seeds


def _named(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """Say what was expected in a sentence, unless somebody has named something."""
    if not isinstance(value, Mapping) or not value or not all(isinstance(v, Mapping) for v in value.values()):
        raise ValueError("expected names with settings, at least one, such as {mine: {method: fedgan}}")
    for name in value:
        if not isinstance(name, str) or not re.fullmatch(NAME_FORM, name):
            raise ValueError(
                f"'{name}' cannot be the name of a folder; take letters, digits, '.', '_' and '-'"
            )
    return handler(value)


Seeds = Annotated[tuple[NonNegativeInt, ...], WrapValidator(_seeds)]
Named = Annotated[dict[str, Settings], WrapValidator(_named)]
"""Settings by a name, which is that of a folder, too."""


class Comparison(Strict):
    """Content of a file in ``conf/comparisons``.

    Attributes:
        description: a sentence or two for readers.
        seeds: one run each.
        common: settings of all runs.
        scenarios: by name, the settings that make a scenario.
        methods: by name, the settings that make a column of the tables: a method with what is particular to
            it. They go before those of a scenario, and these before the common ones.
        reference: the column that the others are told against; the first, if none is named.
        targets: by score, how good it should get: tables tell the bytes of a client until it does.
    """

    description: str = ""
    seeds: Seeds = (0, 1, 2)
    common: Settings = Field(default_factory=dict)
    scenarios: Named
    methods: Named
    reference: str = ""
    targets: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Comparison:
        for settings in (self.common, *self.scenarios.values(), *self.methods.values()):
            for key in OWN_KEYS:
                if key in settings:
                    raise ValueError(f"'{key}' is set, but a comparison decides it itself: remove it")
        if self.reference and self.reference not in self.methods:
            raise ValueError(
                f"reference is '{self.reference}'{did_you_mean(self.reference, self.methods)}: name one of "
                f"the methods, {', '.join(self.methods)}"
            )
        return self

    @property
    def told_against(self) -> str:
        """The column that the others are told against."""
        return self.reference or next(iter(self.methods))


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison."""

    scenario: str
    column: str
    seed: int
    config: RunConfig
    """With the settings of its method complete."""

    @property
    def name(self) -> str:
        """What it is called in lines about it."""
        return f"{self.scenario}/{self.config.name}"


@dataclass(frozen=True)
class Plan:
    """A comparison with all of its runs, or with those that somebody asked for."""

    path: Path
    """Of its file."""
    comparison: Comparison
    runs: tuple[PlannedRun, ...]
    """By seed first, so that a table of all columns is there early."""

    @property
    def name(self) -> str:
        """Name of the comparison."""
        return self.path.stem

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the runs, ascending."""
        return tuple(sorted({run.seed for run in self.runs}))

    def of(self, scenario: str, column: str) -> tuple[PlannedRun, ...]:
        """Return the runs of one column in one scenario, by seed."""
        return tuple(run for run in self.runs if (run.scenario, run.column) == (scenario, column))

    def asked(
        self, *, methods: Collection[str] = (), scenarios: Collection[str] = (), seeds: int | None = None
    ) -> Plan:
        """Return the plan with the runs that are asked for only.

        Args:
            methods: names of columns; all, if none is named.
            scenarios: names of scenarios; all, if none is named.
            seeds: how many of its seeds; all, if it is None.

        Raises:
            ConfError: if the comparison does not have one of them.
        """
        listed = self.comparison.seeds
        if seeds is not None and not 1 <= seeds <= len(listed):
            raise ConfError(
                f"--seeds is {seeds}, and {self.path} has the seeds {', '.join(map(str, listed))}; take at "
                "least one and at most all of them, or add some to the file"
            )
        columns = self._asked(methods, self.comparison.methods, "--methods")
        places = self._asked(scenarios, self.comparison.scenarios, "--only")
        chosen = listed[:seeds]
        runs = (r for r in self.runs if r.column in columns and r.scenario in places and r.seed in chosen)
        return replace(self, runs=tuple(runs))

    def _asked(self, names: Collection[str], known: Collection[str], option: str) -> Collection[str]:
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConfError(f"{option} names '{name}'{hint}: {self.path} has {', '.join(known)}")
        return names or known


def plan_comparison(name_or_path: str, *, overrides: Sequence[str] = (), output: Path = Path("runs")) -> Plan:
    """Read a comparison and check the configuration of all of its runs.

    Args:
        name_or_path: a name in ``conf/comparisons``, or a YAML file.
        overrides: ``section.key=value`` for every run: where images are, and where it is computed.
        output: folder of the comparison's folder of run folders.

    Raises:
        ConfError: naming the key, the value and what would be right.
    """
    path = find_conf("comparisons", name_or_path)
    _check_name(path)
    for override in overrides:
        _check_override(override, path)
    comparison = validate(Comparison, read_yaml(path, Comparison), str(path))
    runs = [
        _planned(path, comparison, scenario, column, seed, overrides, output)
        for seed in comparison.seeds
        for scenario in comparison.scenarios
        for column in comparison.methods
    ]
    _check_sections_are_read(path, comparison, runs)
    _check_targets(path, comparison.targets)
    return Plan(path, comparison, tuple(runs))


def _check_name(path: Path) -> None:
    """Raise ``ConfError`` for somebody's own file that is called like one of ours.

    Runs and results are filed by its name.
    """
    name = path.stem
    if name in known_confs("comparisons") and path.resolve() != find_conf("comparisons", name).resolve():
        raise ConfError(f"{path}: one of conf/comparisons is called '{name}' too; give yours another name")


def _check_override(override: str, path: Path) -> None:
    keys = put_overrides({}, [override]).keys()
    if not keys <= set(SAFE_TO_OVERRIDE):
        hint = did_you_mean(next(iter(keys - set(SAFE_TO_OVERRIDE))), SAFE_TO_OVERRIDE, cutoff=0.8)
        raise ConfError(
            f"--set {override}{hint}: that would make other runs than those of {path}; set only "
            f"{', '.join(SAFE_TO_OVERRIDE)}, or write the setting into a comparison of your own"
        )


def _planned(
    path: Path,
    comparison: Comparison,
    scenario: str,
    column: str,
    seed: int,
    overrides: Sequence[str],
    output: Path,
) -> PlannedRun:
    content = merged(comparison.common, comparison.scenarios[scenario], comparison.methods[column])
    put_overrides(content, overrides)
    content |= {"name": f"{column}-seed-{seed}", "seed": seed, "output": str(output / path.stem / scenario)}
    place = f"{path}: {column} in {scenario}"
    config = validate(RunConfig, content, place)
    try:
        # So that a run that is made or kept is known again by what it has chosen.
        config = _followed(resolved(with_absolute_paths(config)))
        config, _ = chosen_wire(config, method_of(config), deal_devices(config))
        return PlannedRun(scenario, column, seed, config)
    except ConfError as error:
        raise ConfError(f"{place}: {error}") from error


def _check_sections_are_read(path: Path, comparison: Comparison, runs: Sequence[PlannedRun]) -> None:
    """Raise ``ConfError`` for a method's section that no run reads of those for which it is said."""
    places = [
        ("common", comparison.common, runs),
        *(
            (f"scenarios.{name}", said, [run for run in runs if run.scenario == name])
            for name, said in comparison.scenarios.items()
        ),
        *(
            (f"methods.{name}", said, [run for run in runs if run.column == name])
            for name, said in comparison.methods.items()
        ),
    ]
    for place, said, those in places:
        read = {section for run in those for section in run.config.sections}
        for name in sorted(said.keys() - RunConfig.model_fields.keys() - read):
            raise ConfError(
                f"{path}: {place} has a section '{name}', but what is read there is only "
                f"{', '.join(sorted(read))}: remove it, or choose the method that it belongs to"
            )


def _check_targets(path: Path, targets: Mapping[str, float]) -> None:
    """Raise ``ConfError`` for a target that no table could show, or that is no value of its score.

    Methods have registered scores of their own by now.
    """
    metrics = {name: metric_named(name) for name in registered_names() if name not in _OF_NO_DOMAIN}
    known = {name: metric for name, metric in metrics.items() if metric.better and not metric.detail}
    for name, target in targets.items():
        if name not in known:
            raise ConfError(
                f"{path}: targets names '{name}'{did_you_mean(name, known)}, which is no score of a domain: "
                f"take one of {', '.join(known)}"
            )
        least, most = known[name].limits
        if (least is not None and target < least) or (most is not None and target > most):
            limits = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
            raise ConfError(f"{path}: targets.{name} is {target:g}, and {known[name].title} is {limits}")


def _followed(config: RunConfig) -> RunConfig:
    """Return the configuration with networks as its images need them; kept runs may be told without these."""
    with suppress(DataError):
        return following_data(config)
    return config


def merged(*settings: Mapping[str, Any]) -> Settings:
    """Return settings over each other, section by section: later ones go before earlier ones."""
    together: Settings = {}
    for each in settings:
        for key, value in each.items():
            before = together.get(key)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                together[key] = merged(before, value)
            else:
                together[key] = copy.deepcopy(value)
    return together
