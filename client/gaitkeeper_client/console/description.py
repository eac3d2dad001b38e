"""The API's own description: OpenAPI 3.1, served with the console, so that it fits the version that answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse, Response

from gaitkeeper_client.console.access import asking
from gaitkeeper_client.console.api import Problem
from gaitkeeper_client.console.rights import Principal

router = APIRouter()


@router.get("/api/v1/openapi.json")
def openapi(request: Request, who: Annotated[Principal, Depends(asking)]) -> Response:
    """For whoever may ask anything at all."""
    return JSONResponse(describe(request.app))


def describe(app: Any) -> dict[str, Any]:
    """The description of an application's API."""
    if app.openapi_schema is None:
        table = get_openapi(title=app.title, version=app.version, routes=app.routes, summary="Inside the clinic only.")
        parts = table.setdefault("components", {})
        parts.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        parts["schemas"] = {name: part for name, part in parts["schemas"].items() if "ValidationError" not in name}
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        table["security"] = [{"key": []}]
        for path in table["paths"].values():
            for operation in path.values():
                _say_problems(operation)
        app.openapi_schema = table
    found: dict[str, Any] = app.openapi_schema
    return found


def _say_problems(operation: dict[str, Any]) -> None:
    """What FastAPI says of invalid input is not what this console answers."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, answer in operation["responses"].items():
        if status.startswith(("4", "5")):
            answer["content"] = content
