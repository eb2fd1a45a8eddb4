"""Runs whose cuts change in mid-run, without a clock deciding when."""

import json
from collections import Counter

from huscf_flwr.cuts import Reselection
from huscf_flwr.methods.huscf.cut_choice import CutReselection, cut_problem
from huscf_flwr.session import ClientTimes, HostTimer


def script_cuts(monkeypatch, changes):
    """Change cuts after a round as ``changes`` says: for a round, the new cut of some clients."""

    def better(self, cuts, steps_left, seed):
        change = changes.get(self.beliefs.rounds)
        if change is None:
            return None
        wanted = tuple(change.get(client, cut) for client, cut in sorted(cuts.items()))
        problem = cut_problem(self._config, self._spec, self.beliefs)
        return Reselection(problem.solution(wanted, solver="scripted", started=0.0), 1.0, 0.0)

    monkeypatch.setattr(CutReselection, "better", better)


class ScriptedTimer(HostTimer):
    """Reports the times of devices with ``gflops`` by client and a link, whatever the clock says."""

    def __init__(self, folder, problem, gflops):
        """``problem`` says what a cut costs, and who has which cut is read from the run's ``folder``."""
        super().__init__()
        clients = json.loads((folder / "cuts.json").read_text())["clients"]
        self._cuts = {entry["id"]: tuple(entry["cut"]) for entry in clients}
        self._problem = problem
        self._gflops = gflops
        self._steps = Counter()

    def send(self, channel, exchange, client, parcel):
        self._steps[client] += exchange.number == 1
        super().send(channel, exchange, client, parcel)

    def times(self):
        return {client: self._scripted(client, real.exchange_s) for client, real in super().times().items()}

    def _scripted(self, client, waited_s):
        demands = self._problem.demands
        place = self._problem.cuts.index(self._cuts[client])
        transfer_s = demands.megabytes[place] * 8 / self._problem.devices[client].mbit_per_s
        compute_s = demands.gflop[place] / self._gflops[client]
        steps = self._steps[client]
        return ClientTimes(steps * compute_s, waited_s + steps * transfer_s)
