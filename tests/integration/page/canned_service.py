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
ROUTES = re.compile(r"^http://[^/]+/(models|health|predict|preview|explain|feedback)\b")


def png(width: int = 40, height: int = 30, shade: int = 120) -> bytes:
    return encoded(Image.new("L", (width, height), shade))


def gradient(width: int, height: int) -> bytes:
    return encoded(Image.linear_gradient("L").resize((width, height)))


def picture(name: str = "casting.png", data: bytes | None = None) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": png() if data is None else data}


def model(name: str, labels: Sequence[str], height: int, width: int) -> dict[str, Any]:
    return {
        "name": name,
        "version": 3,
        "labels": list(labels),
        "image": {"height": height, "width": width, "formats": ["JPEG", "PNG", "WEBP", "HEIC"]},
        "metrics": {"accuracy": 0.9934, "images": 10000},
        "versions": [3],
        "examples": 0,
        "has_report": False,
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
        asks_for_keys, keeps_feedback: what else it says.
        health: what GET /health says.
        replies: used up one per prediction before the usual answer; None holds it.
        by_path: replies to the predictions of some paths, whenever they come.
        by_name: replies to the files of some names, whenever they come.
        held: predictions that wait to be fulfilled.
        explains: how /explain refuses, if it does.
        heat: the heat map otherwise.
        seen: what /preview answers; None: a gradient.
        kept: path, file name and fields of what was sent to /feedback.
    """

    def __init__(self) -> None:
        self.models = [DIGITS, CASTING]
        self.health: dict[str, Any] = {"status": "ready", "reason": None, "models": []}
        self.replies: list[dict[str, Any] | None] = []
        self.by_name: dict[str, dict[str, Any] | None] = {}
        self.by_path: dict[str, dict[str, Any]] = {}
        self.asks_for_keys = self.keeps_feedback = False
        self.explains: dict[str, Any] | None = None
        self.heat = png(8, 8, 255)
        self.seen: bytes | None = None
        self.kept: list[tuple[str, str, dict[str, str]]] = []
        self.predictions: list[tuple[str, str, bytes]] = []  # path, file name, content
        self.explained: list[str] = []
        self.held: list[Route] = []

    def answer(self, route: Route) -> None:
        path = urlsplit(route.request.url).path
        action = path.rsplit("/", 1)[-1]
        if path == "/models":
            listed = {"models": self.models, "default": self.models and self.models[0]["name"]}
            flags = {"asks_for_keys": self.asks_for_keys, "keeps_feedback": self.keeps_feedback}
            route.fulfill(json=listed | flags)
        elif re.fullmatch(r"/models/[^/]+/versions/\d+", path):
            route.fulfill(json=self.meant(f"{path}/it"))
        elif "/examples/" in path:
            route.fulfill(body=gradient(40, 30), content_type="image/png")
        elif path == "/health":
            route.fulfill(json=self.health, status=200 if self.models else 503)
        elif action == "predict" and route.request.method == "POST":
            self.predict(route, path)
        elif action == "preview" and route.request.method == "POST":
            spec = self.meant(path)["image"]
            seen = self.seen or gradient(spec["width"], spec["height"])
            route.fulfill(body=seen, content_type="image/png")
        elif action == "feedback" and route.request.method == "POST":
            name, _, fields = uploaded_form(route)
            self.kept.append((path, name, fields))
            route.fulfill(json={"file": f"digits/{fields['label']}/ab.png"}, status=201)
        elif action == "explain" and route.request.method == "POST":
            self.explain(route)
        else:
            route.continue_()

    def predict(self, route: Route, path: str) -> None:
        name, content = uploaded(route)
        self.predictions.append((path, name, content))
        reply: dict[str, Any] | None
        if path in self.by_path:
            reply = self.by_path[path]
        elif name in self.by_name:
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
        named = re.fullmatch(r"/models/([^/]+)(?:/versions/(\d+))?/\w+", path)
        name = unquote(named[1]) if named else self.models[0]["name"]
        listed = next(listed for listed in self.models if listed["name"] == name)
        return listed | {"version": int(named[2])} if named and named[2] else listed

    def explain(self, route: Route) -> None:
        self.explained.append(unquote(urlsplit(route.request.url).query))
        route.fulfill(**self.explains or {"body": self.heat, "content_type": "image/png"})


def uploaded(route: Route) -> tuple[str, bytes]:
    """The name and content of the one multipart field, which is `file`."""
    name, content, fields = uploaded_form(route)
    assert fields == {}
    return name, content


def uploaded_form(route: Route) -> tuple[str, bytes, dict[str, str]]:
    """The name and content of the multipart field `file`, and the other fields."""
    content_type = route.request.headers["content-type"]
    raw = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message: Message = BytesParser().parsebytes(raw + (route.request.post_data_buffer or b""))
    parts = {
        part.get_param("name", header="content-disposition"): part for part in message.get_payload()
    }
    file = parts.pop("file")
    fields = {name: part.get_payload(decode=True).decode() for name, part in parts.items()}
    return str(file.get_filename()), file.get_payload(decode=True), fields
