"""The static page at /, and the reference at /docs.

Swagger UI comes from files of this installation; nothing is asked elsewhere.
"""

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent.parent / "web"

# Everything from this origin; pictures also from memory, where the page makes them.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class PageFiles(StaticFiles):
    """Files that are sent with the policy."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return the answer that sends one file, or says that the client has it."""
        response = super().file_response(*args, **options)
        response.headers.update({"content-security-policy": POLICY, "cache-control": "no-cache"})
        return response


def add_page(app: Starlette) -> None:
    """Serve the page's files, index.html at /, and docs.html at /docs.

    One route per file and not a mount at /, which would answer 404 where another route of the
    service would answer 405.
    """
    page = PageFiles(directory=FOLDER, html=True)

    async def reference(request: Request) -> Response:
        if request.scope["raw_path"].endswith(b"/"):  # from where its own addresses would miss
            return RedirectResponse("../docs")
        return await page.get_response("docs.html", request.scope)

    names = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()]
    app.router.routes += [
        *[Route(f"/{name}", page, include_in_schema=False) for name in ["", *sorted(names)]],
        Route("/docs", reference, include_in_schema=False),
        Mount("/docs", PageFiles(packages=[("fastapi_offline", "static")])),
    ]
