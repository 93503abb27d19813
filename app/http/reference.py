"""The reference at /docs: Swagger UI from files of this installation, nothing from elsewhere."""

from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.http.page import FOLDER, WithPolicy

SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"


def add_reference(app: Starlette, folder: Path = FOLDER, swagger_ui: Path = SWAGGER_UI) -> None:
    """Serve `folder`'s docs.html at /docs, and the files of `swagger_ui` below it."""

    async def show(_: Request) -> Response:
        return FileResponse(folder / "docs.html")

    page = Route("/docs", show, include_in_schema=False)
    page.app = WithPolicy(page.app)
    app.router.routes.append(page)
    app.router.routes.append(Mount("/docs", WithPolicy(StaticFiles(directory=swagger_ui))))
