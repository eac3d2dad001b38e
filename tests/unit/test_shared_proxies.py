"""One proxy for every library, whichever variable names it, and none for this machine."""

from __future__ import annotations

import os

import httpx
import pytest

from gaitkeeper_shared.proxies import PROXY_VARIABLES, goes_direct, heed_range, settle_proxies

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


@pytest.mark.parametrize("proxy", ["http://proxy.clinic.example:3128", ""])
def test_ranges_are_no_stumbling_block_for_httpx_and_stay_for_the_children(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, fd00::/8,[fe80::1], one.example.org")
    settle_proxies()
    settle_proxies()  # as a child process does
    assert route("https://one.example.org:7442") == route("https://[fe80::1]:7442") == ""
    monkeypatch.delenv("NO_PROXY")
    assert goes_direct("10.1.2.3")


@pytest.mark.parametrize("host", ["10.20.30.40", "[fd00::7]"])
def test_an_address_within_a_range_is_called_directly_by_every_library(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.clinic.example:3128")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,fd00::/8")
    settle_proxies()
    for called in (host, "192.0.2.1", "ten.example.org"):
        heed_range(called)
    assert goes_direct(host)
    assert route(f"https://{host}:7442") == ""
    assert not goes_direct("192.0.2.1")
    assert route("https://192.0.2.1:7442") == route("https://ten.example.org") == "proxy.clinic.example:3128"


@pytest.mark.parametrize(
    ("exceptions", "host", "direct"),
    [
        ("example.org", "gait.example.org", True),
        (".Example.org", "gait.example.ORG", True),
        ("example.org", "notexample.org", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        ("192.0.2.1/24", "192.0.2.10", True),
        ("192.0.2.0/99", "192.0.2.0", False),
        ("*", "gait.example.org", True),
        ("", "gait.example.org", False),
        ("", "127.8.0.1", True),
        ("", "localhost", True),
        ("192.0.2.0/24", "gait.example.org", False),
    ],
)
def test_who_is_excepted(monkeypatch: pytest.MonkeyPatch, exceptions: str, host: str, direct: bool) -> None:
    monkeypatch.setenv("no_proxy", exceptions)
    assert goes_direct(host) is direct
