"""The split engine: segments, the step, the executor, channels and the ledger."""

from huscf_flwr.split.client import Batch, SplitClient
from huscf_flwr.split.deadlines import Deadlines
from huscf_flwr.split.emulation import EmulatedDevice, EmulatedTimer
from huscf_flwr.split.exchange import DropOut, Exchange, Frame, FrameError, Frames, Parcel, Parcels
from huscf_flwr.split.executor import Observer, SplitExecutor
from huscf_flwr.split.host import HostedClient, StepLosses, TrainedSteps, run_step, run_steps
from huscf_flwr.split.ledger import Ledger
from huscf_flwr.split.lockstep import (
    Channel,
    DroppedClient,
    LocalChannel,
    LockStep,
    Patience,
    SessionError,
    TooFewClientsError,
)
from huscf_flwr.split.noise import noise_batch
from huscf_flwr.split.segments import AdamSettings, Segments
from huscf_flwr.split.timing import ClientTimes, HostTimer
from huscf_flwr.split.wire_type import WireType

__all__ = [
    "AdamSettings",
    "Batch",
    "Channel",
    "ClientTimes",
    "Deadlines",
    "DropOut",
    "DroppedClient",
    "EmulatedDevice",
    "EmulatedTimer",
    "Exchange",
    "Frame",
    "FrameError",
    "Frames",
    "HostTimer",
    "HostedClient",
    "Ledger",
    "LocalChannel",
    "LockStep",
    "Observer",
    "Parcel",
    "Parcels",
    "Patience",
    "Segments",
    "SessionError",
    "SplitClient",
    "SplitExecutor",
    "StepLosses",
    "TooFewClientsError",
    "TrainedSteps",
    "WireType",
    "noise_batch",
    "run_step",
    "run_steps",
]
