"""The static page at /, if the installation has one, and the reference at /docs.

Swagger UI comes from files of this installation; nothing is asked elsewhere.
"""

from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = Path(__file__).parent.parent / "web"
SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"

# Everything from this origin; pictures also from memory, where the page makes them.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)


def add_page(app: Starlette, folder: Path = FOLDER) -> None:
    """Serve the files of `folder`, and its index.html at /, if it has one.

    One route per file and not a mount at /, which would answer 404 where another route of the
    service would answer 405.
    """
    if not (folder / "index.html").is_file():
        return
    static = WithPolicy(StaticFiles(directory=folder, html=True))
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    for name in ["", *sorted(names)]:
        app.router.routes.append(Route(f"/{name}", static, include_in_schema=False))


def add_reference(app: Starlette, folder: Path = FOLDER, swagger_ui: Path = SWAGGER_UI) -> None:
    """Serve `folder`'s docs.html at /docs, and the files of `swagger_ui` below it."""

    async def show(request: Request) -> Response:
        if request.scope["raw_path"].endswith(b"/"):  # from where its own addresses would miss
            return RedirectResponse("../docs")
        return FileResponse(folder / "docs.html")

    page = Route("/docs", show, include_in_schema=False)
    page.app = WithPolicy(page.app)
    app.router.routes.append(page)
    app.router.routes.append(Mount("/docs", WithPolicy(StaticFiles(directory=swagger_ui))))


class WithPolicy:
    """Sends the Content-Security-Policy with every answer of `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"content-security-policy", POLICY),
                    (b"cache-control", b"no-cache"),
                ]
            await send(message)

        await self._app(scope, receive, send_with_policy)
