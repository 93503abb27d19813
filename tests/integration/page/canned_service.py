"""A service without models: it answers the page's requests from memory, and remembers them."""

import json
import re
from collections.abc import Callable, Sequence
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote, urlsplit

from pictures import encoded
from PIL import Image
from playwright.sync_api import Page, Route

PATIENCE_MS = 90_000  # for a machine that is busy with other things; nothing waits this long
Opener = Callable[..., Page]  # the fixture `open_page`
ROUTES = re.compile(r"^http://[^/]+/(models|health|predict|preview|explain)\b")


def png(width: int = 40, height: int = 30, shade: int = 120) -> bytes:
    return encoded(Image.new("L", (width, height), shade))


def picture(name: str = "casting.png", data: bytes | None = None) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": png() if data is None else data}


def model(name: str, labels: Sequence[str], height: int, width: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": 3,
        "labels": list(labels),
        "image": {"height": height, "width": width, "formats": ["JPEG", "PNG", "WEBP", "HEIC"]},
        "metrics": {"accuracy": 0.9934, "images": 10000},
    }


DIGITS = model("digits", "0123456789", 28, 28)
CASTING = model("casting", ["def_front", "ok_front"], 96, 48)


def problem(status: int, code: str, **members: object) -> dict[str, Any]:
    body = {"type": f"urn:x:{code}", "title": f"Title of {code}", "status": status, "code": code}
    return {
        "status": status,
        "content_type": "application/problem+json",
        "body": json.dumps(
            body | {"detail": f"Detail of {code}.", "request_id": "req-bad"} | members
        ),
    }


class CannedService:
    """Answers the page's requests, and remembers them.

    Attributes:
        models: what GET /models lists; the first is the default.
        health: what GET /health says.
        replies: used up one per prediction before the usual answer; None holds it.
        by_name: replies to the files of some names, whenever they come.
        held: predictions that wait to be fulfilled.
        explains: how /explain refuses, if it does.
    """

    def __init__(self) -> None:
        self.models = [DIGITS, CASTING]
        self.health: dict[str, Any] = {"status": "ready", "reason": None, "models": []}
        self.replies: list[dict[str, Any] | None] = []
        self.by_name: dict[str, dict[str, Any] | None] = {}
        self.explains: dict[str, Any] | None = None
        self.predictions: list[tuple[str, str, bytes]] = []  # path, file name, content
        self.explained: list[str] = []
        self.held: list[Route] = []

    def answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        action = path.rsplit("/", 1)[-1]
        if path == "/models":
            listed = {"models": self.models, "default": self.models and self.models[0]["name"]}
            route.fulfill(json=listed)
        elif path == "/health":
            route.fulfill(json=self.health, status=200 if self.models else 503)
        elif action == "predict" and route.request.method == "POST":
            self.predict(route, path)
        elif action == "preview" and route.request.method == "POST":
            spec = self.meant(path)["image"]
            route.fulfill(body=png(spec["width"], spec["height"]), content_type="image/png")
        elif action == "explain" and route.request.method == "POST":
            self.explain(route)
        else:
            route.continue_()

    def predict(self, route: Route, path: str) -> None:
        name, content = uploaded(route)
        self.predictions.append((path, name, content))
        if name in self.by_name:
            reply = self.by_name[name]
        else:
            reply = self.replies.pop(0) if self.replies else self.usual(path)
        if reply is None:
            self.held.append(route)
        else:
            route.fulfill(**reply)

    def usual(self, path: str, top: int = -1) -> dict[str, Any]:
        """The last label at 98.71 %, the others share the rest."""
        meant = self.meant(path)
        labels = [meant["labels"][top], *(x for x in meant["labels"] if x != meant["labels"][top])]
        shares = [0.9871] + [0.0129 / (len(labels) - 1)] * (len(labels) - 1)
        ranked = [
            {"label": label, "probability": share}
            for label, share in zip(labels, shares, strict=True)
        ]
        identity = {"name": meant["name"], "version": meant["version"]}
        body = {"request_id": "req-7", "model": identity, **ranked[0], "predictions": ranked}
        timing = "decode;dur=1.24, queue;dur=0.02, inference;dur=3.81, total;dur=5.9"
        return {
            "status": 200,
            "content_type": "application/json",
            "headers": {"Server-Timing": timing},
            "body": json.dumps(body),
        }

    def meant(self, path: str) -> dict[str, Any]:
        named = re.fullmatch(r"/models/([^/]+)/\w+", path)
        name = unquote(named[1]) if named else self.models[0]["name"]
        return next(listed for listed in self.models if listed["name"] == name)

    def explain(self, route: Route) -> None:
        self.explained.append(unquote(urlsplit(route.request.url).query))
        route.fulfill(**self.explains or {"body": png(8, 8, 255), "content_type": "image/png"})


def uploaded(route: Route) -> tuple[str, bytes]:
    """The name and content of the one multipart field `file`."""
    content_type = route.request.headers["content-type"]
    raw = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message: Message = BytesParser().parsebytes(raw + (route.request.post_data_buffer or b""))
    (part,) = message.get_payload()
    assert part.get_param("name", header="content-disposition") == "file"
    return str(part.get_filename()), part.get_payload(decode=True)
