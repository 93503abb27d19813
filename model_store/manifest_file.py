"""Read and write `manifest.json`, strict in both directions."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model_store.errors import InvalidManifest
from model_store.manifest import MANIFEST_FILE, Manifest

# A digest inside the file notices edits by hand; it is no signature.
_DIGEST_KEY = "manifest_sha256"
_MAX_MANIFEST_BYTES = 16 << 20


def read_manifest(folder: Path) -> Manifest:
    """Read and validate `folder/manifest.json`.

    Raises:
        InvalidManifest: it is missing, not JSON, was edited, or breaks a rule; the message says
            which.
    """
    path = folder / MANIFEST_FILE
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_MANIFEST_BYTES:
            raise InvalidManifest(f"Expected {MANIFEST_FILE} to be a file of at most 16 MB")
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as error:
        raise InvalidManifest(
            f"Expected a readable {MANIFEST_FILE}. Received: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{MANIFEST_FILE}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidManifest(f"{MANIFEST_FILE}: expected an object")
    recorded, content = document.pop(_DIGEST_KEY, None), _canonical(document)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InvalidManifest(f"{MANIFEST_FILE}: {where}: {first['msg']}") from error
    if recorded != hashlib.sha256(content).hexdigest():
        raise InvalidManifest(
            f"{MANIFEST_FILE} was changed after it was written: its {_DIGEST_KEY} does not match. "
            "Publish a new version instead of editing one"
        )
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the JSON of a manifest, with a digest over itself under `manifest_sha256`."""
    return encode_document(manifest.model_dump(mode="json"))


def encode_document(document: dict[str, Any]) -> bytes:
    """Return the JSON of what a manifest holds, as it stands there, with its digest added."""
    digested = {**document, _DIGEST_KEY: hashlib.sha256(_canonical(document)).hexdigest()}
    return json.dumps(digested, indent=2, ensure_ascii=False).encode() + b"\n"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
