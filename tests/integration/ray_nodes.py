"""A Ray cluster of two nodes on this machine, in the environment that has Ray, told by lines.

It prints the cluster's address. After "kill actor" or "kill node" it kills a process that scores,
or the node of one with all that runs on it, and prints how many processes that were.
"""

import os
import signal
import sys
import time
from pathlib import Path

from ray._private.node import Node
from ray.cluster_utils import Cluster

_ACTOR = "ray::MapWorker"
_PATIENCE_S = 120.0


def main() -> None:
    # The head computes nothing, so that work is on nodes that may go.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    tell(cluster.address)
    for line in sys.stdin:
        node, actors = busy(nodes)
        if line == "kill node\n":
            nodes.remove(node)
            nodes.append(cluster.add_node(num_cpus=1))
            cluster.remove_node(node, allow_graceful=False)
        else:
            os.kill(actors[0], signal.SIGKILL)
        tell(str(len(actors)))
    cluster.shutdown()


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def busy(nodes: list[Node]) -> tuple[Node, list[int]]:
    """Wait for a node that scores; return it and its processes that do."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for node in nodes:
            if actors := actors_of(node):
                return node, actors
        time.sleep(0.01)
    raise TimeoutError("nothing scores on any node")


def actors_of(node: Node) -> list[int]:
    """Return the processes that a node has started to score."""
    (raylet,) = node.all_processes["raylet"]
    started = f"PPid:\t{raylet.process.pid}\n"
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if _read(process / "cmdline").startswith(_ACTOR) and started in _read(process / "status")
    ]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it is gone
        return ""


if __name__ == "__main__":
    main()
