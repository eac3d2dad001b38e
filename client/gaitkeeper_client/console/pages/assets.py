"""Style sheets and scripts: a fixed list, so that no path is ever made from an address."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter
from starlette.responses import Response

from gaitkeeper_shared.errors import GaitkeeperError

router = APIRouter()
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OURS = {
    "console.css": ("gaitkeeper_client.console", "static"),
    "console.js": ("gaitkeeper_client.console", "static"),
    "upload.js": ("gaitkeeper_client.console", "static"),
    "heatmap.js": ("gaitkeeper_client.console", "static"),
    "report.js": ("gaitkeeper_client.console", "static"),
    "mark.svg": ("gaitkeeper_client.console", "static"),
    "report.css": ("gaitkeeper_client.insight", "templates"),
}


@cache
def _bytes(name: str) -> bytes:
    package, folder = _OURS[name]
    return (resources.files(package) / folder / name).read_bytes()


@router.get("/static/{name}")
def asset(name: str) -> Response:
    """One of ours. Raises ``console-not-found``."""
    if name not in _OURS:
        raise GaitkeeperError("console-not-found")
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(_bytes(name), media_type=kind, headers={"cache-control": "private, max-age=300"})
