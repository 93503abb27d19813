"""The contract between training and serving: specs, bundles, versions and engines."""

import sys

# On import, OpenVINO writes an identifier into the home directory and reports to its maker,
# unasked; but not where the package that reports is missing.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's way to say so
