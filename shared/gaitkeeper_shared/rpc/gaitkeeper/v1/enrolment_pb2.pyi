from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolRequest(_message.Message):
    __slots__ = ("token", "certificate_request", "node_public_key")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    NODE_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    token: str
    certificate_request: bytes
    node_public_key: bytes
    def __init__(self, token: _Optional[str] = ..., certificate_request: _Optional[bytes] = ..., node_public_key: _Optional[bytes] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("certificate_request",)
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    certificate_request: bytes
    def __init__(self, certificate_request: _Optional[bytes] = ...) -> None: ...

class ConsortiumKey(_message.Message):
    __slots__ = ("key_id", "public_key")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    public_key: bytes
    def __init__(self, key_id: _Optional[str] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class Credentials(_message.Message):
    __slots__ = ("site", "coordinator", "certificate", "root_certificate", "consortium_keys", "threshold", "site_address", "fleet_address")
    SITE_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ROOT_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CONSORTIUM_KEYS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SITE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FLEET_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    site: str
    coordinator: str
    certificate: bytes
    root_certificate: bytes
    consortium_keys: _containers.RepeatedCompositeFieldContainer[ConsortiumKey]
    threshold: int
    site_address: str
    fleet_address: str
    def __init__(self, site: _Optional[str] = ..., coordinator: _Optional[str] = ..., certificate: _Optional[bytes] = ..., root_certificate: _Optional[bytes] = ..., consortium_keys: _Optional[_Iterable[_Union[ConsortiumKey, _Mapping]]] = ..., threshold: _Optional[int] = ..., site_address: _Optional[str] = ..., fleet_address: _Optional[str] = ...) -> None: ...
