"""Requests that are no messages: refused as everything else is, without a traceback in the log for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from gaitkeeper_server.enrolment.identity import refuse
from gaitkeeper_shared.errors import GaitkeeperError


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """In the place of a request. To gRPC itself, None would be an exception of ours."""


class ReadableOnly(grpc.ServerInterceptor):  # type: ignore[type-arg]  # grpc itself knows no arguments
    """Parses requests so that what cannot be parsed comes to an answer of our own."""

    def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The method's handler with a parser that does not raise; methods that do not exist stay so."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        parse, encode = handler.request_deserializer, handler.response_serializer
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(_readable(handler.unary_stream), _tolerant(parse), encode)
        return grpc.unary_unary_rpc_method_handler(_readable(handler.unary_unary), _tolerant(parse), encode)


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parsed(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _Unreadable()

    return parsed


def _readable(method: Callable[..., Any]) -> Callable[..., Any]:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if isinstance(request, _Unreadable):
            refuse(context, GaitkeeperError("rpc-request-unusable"))
        return method(request, context)

    return answer
