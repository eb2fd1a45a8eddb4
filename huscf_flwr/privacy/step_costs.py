"""What a step of a recorded round costs: bytes that crossed, and predicted seconds."""

from __future__ import annotations

from statistics import fmean

from huscf_flwr.config import RunConfig
from huscf_flwr.methods import method_of
from huscf_flwr.methods.huscf.cut_choice import cut_problem, declared
from huscf_flwr.models import model_spec_of
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.session import DIRECTIONS, Ledger, wire_type_of


def seconds_a_step(evidence: Evidence) -> float | None:
    """Return what a step takes by the latency model, with the devices of all clients.

    None if nobody has said what a step of the method costs.
    """
    config, method = evidence.config, evidence.method
    devices = {client: each.device for client, each in method.clients.items()}
    problem = cut_problem(config, model_spec_of(config), declared(config, devices))
    price = type(method).price(config, problem)
    return None if price is None else price.step_s


def megabytes_a_step(evidence: Evidence) -> float | None:
    """Return what a client sends and receives in a step, the mean over those recorded, in 10^6 bytes."""
    found = [
        _step_megabytes(transcript, evidence.config)
        for transcript in evidence.transcripts
        if transcript.frames
    ]
    return fmean(found) if found else None


def _step_megabytes(transcript: Transcript, config: RunConfig) -> float:
    wire, exchanges = wire_type_of(config, transcript.round), method_of(config).crossing.exchanges
    ledger = Ledger()
    frames = next(iter(transcript.frames.values()))
    for exchange in exchanges:
        for direction in DIRECTIONS:
            if (exchange.name, direction) in frames:
                frame = frames[exchange.name, direction]
                ledger.record_frame(transcript.client, exchange, direction, frame, wire)
    return ledger.total() / 1e6
