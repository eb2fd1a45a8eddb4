"""Scenarios: which domains there are, and how labels and amounts of data differ between clients.

The authors' six scenarios (their Data/data.py:37-91; numbers 1 to 6 in the paper) are files in
``conf/scenarios/``, together with a Dirichlet scenario and the demo's. A scenario does not fix the number of
clients, and its domains can be replaced: the rules apply to any domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from huscf_flwr.conf_files import Strict, find_conf, read_yaml, validate
from huscf_flwr.data.domain_source import DomainSource
from huscf_flwr.data.flower_partitioners import FlowerPartitioner

PAPER_SCENARIOS = (
    "one-domain-iid",
    "one-domain-non-iid",
    "two-domains-iid",
    "two-domains-non-iid",
    "two-domains-highly-non-iid",
    "four-domains-iid",
)


class AllLabels(Strict):
    """Every client draws from all labels: independent and identically distributed (IID)."""

    kind: Literal["all"] = "all"


class ExcludedLabels(Strict):
    """Each client lacks some labels, drawn at random (the authors' label skew).

    Attributes:
        counts: possible numbers of labels that a client lacks.
        odds: relative odds of each count; they need not sum to one.
        keep_every_class: draw again until at least one client of the domain has each class. The authors
            do not, so with few clients a class can vanish from a domain.
    """

    kind: Literal["excluded"]
    counts: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    odds: tuple[Annotated[float, Field(gt=0)], ...]
    keep_every_class: bool = False

    @model_validator(mode="after")
    def _same_length(self) -> ExcludedLabels:
        if len(self.counts) != len(self.odds):
            raise ValueError(f"{len(self.counts)} counts but {len(self.odds)} odds")
        return self


class DirichletLabels(Strict):
    """Each class is dealt to the clients in proportions drawn from a Dirichlet distribution.

    The usual benchmark of label skew (Hsu, Qi, Brown 2019, arXiv 1909.06335, in the form that splits
    each class over the clients). With a small alpha each client has few classes; with a large one all
    clients have the same mixture.

    Attributes:
        alpha: concentration of the distribution.
        minimum: least number of samples of a client. Clients with fewer take random ones from the largest.
    """

    kind: Literal["dirichlet"]
    alpha: float = Field(gt=0, allow_inf_nan=False)
    minimum: int = Field(default=2, ge=1)


class HeldLabels(Strict):
    """Each client has what one or more natural holders have, such as a speaker's recordings.

    Only of domains that say who holds an image (``DomainSource.by_holder``); of others images are dealt as by
    ``all``. Holders are never divided.
    """

    kind: Literal["holders"]


class Sizes(Strict):
    """How much of its full amount each client has: it draws one of the fractions.

    Attributes:
        fractions: fractions of the full amount, each in (0, 1].
        odds: relative odds of each fraction; they need not sum to one.
    """

    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(1.0,), min_length=1)
    odds: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)

    @model_validator(mode="after")
    def _same_length(self) -> Sizes:
        if len(self.fractions) != len(self.odds):
            raise ValueError(f"{len(self.fractions)} fractions but {len(self.odds)} odds")
        return self


Labels = Annotated[AllLabels | ExcludedLabels | DirichletLabels | HeldLabels, Field(discriminator="kind")]


class Scenario(Strict):
    """A scenario, as its YAML file describes it.

    Attributes:
        description: one line for readers.
        domains: at least one; the clients are spread evenly over them.
        labels: how labels differ between clients.
        partitioner: one of Flower's that deals the images instead, so that ``labels`` has nothing to say.
        sizes: how amounts of data differ between clients.
        cap_total: a client has at most this number of samples divided by the number of all clients; by
            default there is no cap. The authors' is 60,000, the size of MNIST, for any number of domains
            (Data/data.py:172), so with four domains only a quarter of each is used.
    """

    description: str = ""
    domains: tuple[DomainSource, ...] = Field(min_length=1)
    labels: Labels = AllLabels()
    partitioner: FlowerPartitioner | None = None
    sizes: Sizes = Sizes()
    cap_total: int | None = Field(default=None, ge=1)

    @field_validator("domains", mode="before")
    @classmethod
    def _names_are_sources(cls, domains: object) -> object:
        if not isinstance(domains, list | tuple):
            raise ValueError("expected a list of domains, such as [mnist, kmnist]")
        return [{"name": entry} if isinstance(entry, str) else entry for entry in domains]

    @field_validator("domains")
    @classmethod
    def _names_differ(cls, domains: tuple[DomainSource, ...]) -> tuple[DomainSource, ...]:
        names = [domain.name for domain in domains]
        if len(set(names)) != len(names):
            raise ValueError("each domain can be named only once; rename or remove one")
        return domains

    @model_validator(mode="after")
    def _one_deals(self) -> Scenario:
        if self.partitioner is not None and not isinstance(self.labels, AllLabels):
            raise ValueError(
                f"labels is {self.labels.kind} and partitioner is {self.partitioner.kind}, but only one of "
                "them can deal the images; remove one"
            )
        return self

    @property
    def domain_names(self) -> tuple[str, ...]:
        """The names of the domains, in order."""
        return tuple(domain.name for domain in self.domains)


def load_scenario(name_or_path: str | Path, domains: Sequence[DomainSource | str] | None = None) -> Scenario:
    """Read a scenario.

    Args:
        name_or_path: a name in ``conf/scenarios``, a number in the paper (``1`` to ``6``), or a YAML file.
        domains: use these domains instead of the file's. Of a name that the file has too, it says the rest.

    Raises:
        ConfError: if there is no such scenario, or its file is not valid.
    """
    name = str(name_or_path)
    if name.isdecimal() and 1 <= int(name) <= len(PAPER_SCENARIOS):
        name = PAPER_SCENARIOS[int(name) - 1]
    path = find_conf("scenarios", name)
    content = read_yaml(path, Scenario)
    if domains is not None:
        content["domains"] = _as_told(validate(Scenario, content, str(path)), domains)
    return _beside(path, validate(Scenario, content, str(path)))


def _as_told(scenario: Scenario, domains: Sequence[DomainSource | str]) -> list[DomainSource]:
    """Return domains; of those of which only the name is said, what the ``scenario`` says of that name."""
    known = {domain.name: domain for domain in scenario.domains}
    said = [DomainSource(name=each) if isinstance(each, str) else each for each in domains]
    return [known.get(each.name, each) if each == DomainSource(name=each.name) else each for each in said]


def _beside(file: Path, scenario: Scenario) -> Scenario:
    """Return the scenario with absolute folders: relative ones count from its file, or from where we are."""
    located = []
    for domain in scenario.domains:
        if domain.folder is None or domain.folder.is_absolute():
            located.append(domain)
            continue
        beside = file.absolute().parent / domain.folder
        folder = beside if beside.exists() else domain.folder.absolute()
        located.append(domain.model_copy(update={"folder": folder}))
    return scenario.model_copy(update={"domains": tuple(located)})
