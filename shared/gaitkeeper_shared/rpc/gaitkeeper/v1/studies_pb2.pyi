from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListStudiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OfferedStudy(_message.Message):
    __slots__ = ("study", "signatures")
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    study: bytes
    signatures: bytes
    def __init__(self, study: _Optional[bytes] = ..., signatures: _Optional[bytes] = ...) -> None: ...

class ListStudiesResponse(_message.Message):
    __slots__ = ("studies", "coordinator_time")
    STUDIES_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_TIME_FIELD_NUMBER: _ClassVar[int]
    studies: _containers.RepeatedCompositeFieldContainer[OfferedStudy]
    coordinator_time: int
    def __init__(self, studies: _Optional[_Iterable[_Union[OfferedStudy, _Mapping]]] = ..., coordinator_time: _Optional[int] = ...) -> None: ...

class DecisionReport(_message.Message):
    __slots__ = ("study_hash", "approved")
    STUDY_HASH_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    study_hash: str
    approved: bool
    def __init__(self, study_hash: _Optional[str] = ..., approved: _Optional[bool] = ...) -> None: ...

class DecisionReceipt(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
