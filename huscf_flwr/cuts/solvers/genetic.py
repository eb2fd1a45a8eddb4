"""The paper's search: a genetic algorithm over the cuts of all clients (CutLayerSelection.py:220-405).

A genome is four numbers for each gene, a cut. In a generation, parents win tournaments, pairs of them
cross over (half of the pairs uniformly, half between two points), and numbers mutate. The whole
population is one array, so that a generation is a few dozen calls to numpy.

Differences from the authors: the best of a generation survives (``elites``), the search ends when it has
not improved for long (``patience``), the answer is the best ever seen and not of the last generation, genes
are shared within a class whatever their number (theirs down-sample the list of devices and tile it), and the
two children of a uniform crossover share out their parents' genes. ``GeneticSearch.as_published`` has their
settings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huscf_flwr.cuts.costs import Floats
from huscf_flwr.cuts.latency import Integers, LatencyModel
from huscf_flwr.cuts.problem import CutProblem, Solution
from huscf_flwr.models import Cut
from huscf_flwr.seeding import numpy_stream

Genomes = NDArray[np.int8]
"""[population, genes, 4]: blocks kept, as in ``Cut``."""


@dataclass(frozen=True, kw_only=True)
class GeneticSearch:
    """Settings of the search."""

    population: int = 1000
    generations: int = 1000
    patience: int | None = 200
    """Generations without a better genome after which the search ends; None to go through all."""
    tournament: int = 5
    """Genomes that compete to be a parent."""
    crossover: float = 0.7
    """Probability that a pair of parents crosses over."""
    mutation: float = 0.01
    """Probability that a number of a genome changes."""
    elites: int = 1
    """Best genomes that live on unchanged; 0 for none."""
    clients_per_gene: int = 4
    """Clients of one class that share a gene."""
    name: str = "genetic"

    def __post_init__(self) -> None:
        """Raise ``ValueError`` if a setting is outside its range."""
        _require("population", self.population, self.population >= 2, "at least 2")
        _require("generations", self.generations, self.generations >= 1, "at least 1")
        patient = self.patience is None or self.patience >= 1
        _require("patience", self.patience, patient, "at least 1, or None")
        _require("tournament", self.tournament, self.tournament >= 1, "at least 1")
        _require("crossover", self.crossover, 0 <= self.crossover <= 1, "from 0 to 1")
        _require("mutation", self.mutation, 0 <= self.mutation <= 1, "from 0 to 1")
        _require("elites", self.elites, 0 <= self.elites < self.population, "from 0 to below population")
        _require("clients_per_gene", self.clients_per_gene, self.clients_per_gene >= 1, "at least 1")

    @classmethod
    def as_published(cls) -> GeneticSearch:
        """Return the settings of the authors' code."""
        return cls(population=1000, generations=1000, patience=None, elites=0, clients_per_gene=4)

    def solve(self, problem: CutProblem, *, seed: int) -> Solution:
        """Return the best assignment seen in all generations."""
        started = time.perf_counter()
        genes = _Genes.of(problem, self.clients_per_gene)
        best = _Evolution(self, problem, genes, numpy_stream(seed, "genetic search")).run()
        cuts = [Cut(*kept) for kept in best[genes.gene_of_client].tolist()]
        return problem.solution(cuts, solver=self.name, started=started)


def _require(setting: str, value: float | None, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"genetic search: {setting} is {value}, but must be {allowed}")


@dataclass(frozen=True)
class _Genes:
    """Which clients share a gene."""

    class_of_gene: Integers
    sizes: Integers
    gene_of_client: Integers

    @classmethod
    def of(cls, problem: CutProblem, clients_per_gene: int) -> _Genes:
        """Put clients of the same class together, ``clients_per_gene`` at a time, in their order."""
        classes = problem.class_of_client
        order = np.argsort(classes, kind="stable")
        firsts = np.cumsum(problem.class_sizes) - problem.class_sizes
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order)) - firsts[classes[order]]
        keys = np.stack([classes, rank // clients_per_gene], axis=1)
        genes, gene_of_client, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        return cls(genes[:, 0], sizes, gene_of_client.reshape(-1))


class _Evolution:
    def __init__(
        self, settings: GeneticSearch, problem: CutProblem, genes: _Genes, stream: np.random.Generator
    ) -> None:
        self.settings = settings
        self.stream = stream
        self.genes = len(genes.sizes)
        self.least, self.most = problem.least.astype(np.int8), problem.most.astype(np.int8)
        self.model: LatencyModel = problem.grouped_model(genes.class_of_gene, genes.sizes)
        self.repair = None if problem.allowed.all() else _Repair(problem, genes.class_of_gene)

    def run(self) -> Genomes:
        """Return the best genome [genes, 4] seen."""
        genomes = self._legal(self._first_generation())
        best: Genomes = genomes[0]
        best_s, found = np.inf, 0
        patience = self.settings.patience or self.settings.generations
        for generation in range(self.settings.generations + 1):
            latencies = self.model.latency(genomes)
            fittest = int(latencies.argmin())
            if latencies[fittest] < best_s:
                best, best_s = np.array(genomes[fittest]), float(latencies[fittest])
                found = generation
            if generation - found >= patience:
                break
            genomes = self._next_generation(genomes, latencies)
        return best

    def _first_generation(self) -> Genomes:
        shape = (self.settings.population, self.genes, 4)
        return np.asarray(self.stream.integers(self.least, self.most + 1, shape, dtype=np.int8))

    def _next_generation(self, genomes: Genomes, latencies: Floats) -> Genomes:
        ranked = np.argsort(latencies, kind="stable")
        children = self._crossed(genomes[ranked[self._winners()]])
        self._mutate(children)
        children = self._legal(children)
        children[: self.settings.elites] = genomes[ranked[: self.settings.elites]]
        return children

    def _winners(self) -> Integers:
        """Return the rank of the winner of each tournament.

        The least of k uniform numbers is distributed as 1 - (1 - u)^(1/k), so one number does for k.
        """
        size = self.settings.population
        least = 1 - (1 - self.stream.random(size + size % 2)) ** (1 / self.settings.tournament)
        return np.asarray((least * size).astype(np.int64))

    def _crossed(self, parents: Genomes) -> Genomes:
        """Cross over the first half of the parents with the second."""
        half = len(parents) // 2
        length = self.genes * 4
        mothers = parents[:half].reshape(half, length)
        fathers = parents[half:].reshape(half, length)
        swapped = self._swapped(half, length)
        children = np.concatenate([np.where(swapped, fathers, mothers), np.where(swapped, mothers, fathers)])
        return children[: self.settings.population].reshape(-1, self.genes, 4)

    def _swapped(self, pairs: int, length: int) -> NDArray[np.bool_]:
        """Return [pairs, length]: which numbers the two children swap."""
        uniform = self.stream.integers(0, 2, (pairs, length), dtype=np.bool_)
        ends = np.sort(self.stream.integers(0, length + 1, (pairs, 2)), axis=1)
        places = np.arange(length)
        between = (places >= ends[:, :1]) & (places < ends[:, 1:])
        kind = self.stream.random((pairs, 1)) / max(self.settings.crossover, 1e-300)
        return np.where(kind < 0.5, uniform, between) & (kind < 1)

    def _mutate(self, genomes: Genomes) -> None:
        """Change each number with the probability of ``mutation`` to another one that is legal."""
        flat = genomes.reshape(-1)
        count = self.stream.binomial(flat.size, self.settings.mutation)
        places = self.stream.choice(flat.size, count, replace=False, shuffle=False)
        least = self.least[places % 4]
        legal = self.most[places % 4] - least + 1
        step = 1 + self.stream.integers(0, np.maximum(legal - 1, 1), dtype=np.int8)
        flat[places] = np.where(legal > 1, (flat[places] - least + step) % legal + least, least)

    def _legal(self, genomes: Genomes) -> Genomes:
        return genomes if self.repair is None else self.repair(genomes)


class _Repair:
    """Moves each forbidden cut to the nearest one that the device's limits allow."""

    def __init__(self, problem: CutProblem, class_of_gene: Integers) -> None:
        table = problem.cut_table
        distance = np.abs(table[:, None] - table[None]).sum(axis=2)
        barred = np.where(problem.allowed[:, None, :], distance[None], np.iinfo(np.int64).max)
        self.nearest = barred.argmin(axis=2)[class_of_gene]
        self.cuts = table.astype(np.int8)
        self.least = problem.least
        depths = problem.most - problem.least + 1
        self.strides = np.array([int(np.prod(depths[part + 1 :])) for part in range(4)])

    def __call__(self, genomes: Genomes) -> Genomes:
        """Return ``genomes`` with allowed cuts only."""
        index = (genomes - self.least) @ self.strides
        return np.asarray(self.cuts[self.nearest[np.arange(len(self.nearest)), index]])
