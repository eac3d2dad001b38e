"""One proxy for every library, whichever variable names it, and none for this machine."""

from __future__ import annotations

import os

import httpx
import pytest

from gaitkeeper_shared.proxies import PROXY_VARIABLES, settle_proxies

_ALL = (*PROXY_VARIABLES, "no_grpc_proxy", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _ALL:
        monkeypatch.setenv(name, "gone")  # so that what is set below is put back
        monkeypatch.delenv(name)


def route(url: str) -> str:
    """The proxy that httpx asks for an address; empty where it connects itself."""
    with httpx.Client() as client:
        pool = client._transport_for_url(httpx.URL(url))._pool  # type: ignore[attr-defined]
        proxy = getattr(pool, "_proxy_url", None)
        return "" if proxy is None else f"{proxy.host.decode()}:{proxy.port}"


@pytest.mark.parametrize("variable", PROXY_VARIABLES)
@pytest.mark.parametrize("address", ["http://proxy.clinic.example:3128", "proxy.clinic.example:3128"])
def test_whichever_variable_names_it_is_heard(monkeypatch: pytest.MonkeyPatch, variable: str, address: str) -> None:
    monkeypatch.setenv(variable, address)
    settle_proxies()
    assert route("https://gait.example.org:7442/v1") == "proxy.clinic.example:3128"
    assert route("http://127.0.0.1:20000/v1") == route("https://localhost:7442") == ""
    # The first of those that gRPC reads, in the form that it takes.
    named = next(os.environ[name] for name in ("grpc_proxy", "https_proxy", "http_proxy") if os.environ.get(name))
    assert named == "http://proxy.clinic.example:3128"


def test_exceptions_of_either_library_count_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.clinic.example:3128")
    monkeypatch.setenv("no_grpc_proxy", "one.example.org")
    monkeypatch.setenv("NO_PROXY", "two.example.org, .clinic.example")
    settle_proxies()
    heard = {os.environ[name] for name in ("no_proxy", "no_grpc_proxy")}
    assert len(heard) == 1
    for host in ("one.example.org", "two.example.org", "gait.clinic.example", "127.0.0.1"):
        assert route(f"https://{host}:7442") == ""
    assert route("https://three.example.org:7442") == "proxy.clinic.example:3128"


def test_without_a_proxy_nothing_is_set() -> None:
    settle_proxies()
    assert not any(name in os.environ for name in _ALL)
