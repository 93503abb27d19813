"""What HALFTONE_MODELS may say: a folder, or a prefix in a bucket of object storage."""

import re
from pathlib import Path
from typing import TypeGuard

from model_store.errors import InvalidLocation

_BUCKET = re.compile(r"(s3|gs|az)://[\w.-]+(/[\w.-]+)*/?", re.ASCII)


def is_bucket(root: Path | str) -> TypeGuard[str]:
    """Tell whether `root` is the URL of a bucket; anything without :// is a folder.

    Raises:
        InvalidLocation: it is another URL, or one with more in it, which is not repeated: it may be
            a secret.
    """
    if isinstance(root, Path) or "://" not in root:
        return False
    if not _BUCKET.fullmatch(root):
        raise InvalidLocation(
            "Expected a folder, or a bucket and a prefix: s3://bucket/prefix, gs://bucket/prefix "
            "or az://container/prefix, with nothing else in it. Keys and endpoints are the "
            "client's own variables, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
        )
    return True
