"""python -m app.health_check: whether the service on this machine is ready, for container engines.

Reads two variables itself: settings take longer to import than a check every few seconds may cost.
"""

import http.client
import os
import sys

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # asked for, not listened at


def main() -> int:
    """Ask /readyz, never through a proxy; return 0 if it says yes."""
    host = os.environ.get("HALFTONE_HOST") or "127.0.0.1"
    port = os.environ.get("HALFTONE_PORT", "")
    connection = http.client.HTTPConnection(
        "localhost" if host in ANY_ADDRESS else host,
        int(port) if port.isdecimal() else 8000,
        timeout=4,
    )
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    print(answer.read().decode())  # noqa: T201  # container engines keep it
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main())
