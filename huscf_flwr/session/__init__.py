"""Sessions: what a server and its clients do together in a round, whatever the method.

A lock-step session takes all clients through the exchanges that an executor declares; the executor, in one
process or over ``session.wire``, sees what these list and nothing else. A message session only keeps track of
who takes part.
"""

from huscf_flwr.session.attendance import DroppedClient, SessionError, TooFewClientsError
from huscf_flwr.session.channel import Channel, LocalChannel
from huscf_flwr.session.deadlines import Clock, Deadlines, Patience
from huscf_flwr.session.emulation import EmulatedDevice, EmulatedTimer
from huscf_flwr.session.exchange import (
    DIRECTIONS,
    ClientStep,
    Computed,
    Direction,
    DropOut,
    Exchange,
    Executor,
    ExecutorStep,
    Frame,
    FrameError,
    Frames,
    Kind,
    Losses,
    Parcel,
    Parcels,
    Role,
    TensorHeader,
)
from huscf_flwr.session.host import Member, TrainedSteps, run_step, run_steps
from huscf_flwr.session.ledger import Ledger
from huscf_flwr.session.lockstep import LockStep, Progress
from huscf_flwr.session.message_session import MessageSession
from huscf_flwr.session.packing import PackedForm
from huscf_flwr.session.recording import Recorder, side_by_side
from huscf_flwr.session.timing import ClientTimes, HostTimer, StepTimes
from huscf_flwr.session.wire_end import WireEnd
from huscf_flwr.session.wire_type import (
    Packing,
    SentBytes,
    WireType,
    sent_bytes,
    sent_bytes_by,
    upload_form,
    wire_type,
    wire_type_of,
)

__all__ = [
    "DIRECTIONS",
    "Channel",
    "ClientStep",
    "ClientTimes",
    "Clock",
    "Computed",
    "Deadlines",
    "Direction",
    "DropOut",
    "DroppedClient",
    "EmulatedDevice",
    "EmulatedTimer",
    "Exchange",
    "Executor",
    "ExecutorStep",
    "Frame",
    "FrameError",
    "Frames",
    "HostTimer",
    "Kind",
    "Ledger",
    "LocalChannel",
    "LockStep",
    "Losses",
    "Member",
    "MessageSession",
    "PackedForm",
    "Packing",
    "Parcel",
    "Parcels",
    "Patience",
    "Progress",
    "Recorder",
    "Role",
    "SentBytes",
    "SessionError",
    "StepTimes",
    "TensorHeader",
    "TooFewClientsError",
    "TrainedSteps",
    "WireEnd",
    "WireType",
    "run_step",
    "run_steps",
    "sent_bytes",
    "sent_bytes_by",
    "side_by_side",
    "upload_form",
    "wire_type",
    "wire_type_of",
]
