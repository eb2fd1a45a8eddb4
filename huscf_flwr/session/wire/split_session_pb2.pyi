from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "channels_last", "exponent")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_LAST_FIELD_NUMBER: _ClassVar[int]
    EXPONENT_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    channels_last: bool
    exponent: int
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., channels_last: _Optional[bool] = ..., exponent: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("exchange", "client", "tensors", "drop_out", "place")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    DROP_OUT_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    exchange: int
    client: int
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    drop_out: str
    place: int
    def __init__(self, exchange: _Optional[int] = ..., client: _Optional[int] = ..., tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., drop_out: _Optional[str] = ..., place: _Optional[int] = ...) -> None: ...

class Packet(_message.Message):
    __slots__ = ("frame", "data", "farewell")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    frame: Frame
    data: bytes
    farewell: str
    def __init__(self, frame: _Optional[_Union[Frame, _Mapping]] = ..., data: _Optional[bytes] = ..., farewell: _Optional[str] = ...) -> None: ...

class Arrival(_message.Message):
    __slots__ = ("host",)
    HOST_FIELD_NUMBER: _ClassVar[int]
    host: str
    def __init__(self, host: _Optional[str] = ...) -> None: ...

class Admission(_message.Message):
    __slots__ = ("admitted",)
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    admitted: bool
    def __init__(self, admitted: _Optional[bool] = ...) -> None: ...
