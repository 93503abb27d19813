"""Images read into a cache by a Ray cluster that loses a node meanwhile; prints what came of it.

Runs in the environment that has Ray, with a folder of images and one for two caches.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ray.cluster_utils import Cluster

from model_store.sources import Source, open_labelled
from model_store.spec import ImageSpec
from training.cluster.executor import cluster_executor
from training.data.cache import PixelCache


@dataclass(frozen=True)
class Slow(Source):
    """Files that take their time, so that a node is lost in the middle of them."""

    def encoded(self, index: int) -> bytes:
        time.sleep(0.02)
        return super().encoded(index)

    def part(self, chosen: Sequence[int]) -> "Slow":
        return Slow(super().part(chosen).items)


def main(images: Path, caches: Path) -> None:
    source = open_labelled(images)
    spec = ImageSpec.for_size(24, 32)
    here, there = (PixelCache(caches / name, spec, 2) for name in ("here", "there"))
    records = here.index(source, lambda _: None)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    removed: list[int] = []

    def lose_a_node(count: int) -> None:
        if count and not removed:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            removed.append(count)

    try:
        with cluster_executor(cluster.address) as executor:
            slow = Slow(source.items)
            found = there.index(slow, lose_a_node, executor)
    finally:
        cluster.shutdown()
    sys.stdout.write(json.dumps({"same": found == records, "before": removed, "all": len(found)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
