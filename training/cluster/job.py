"""What every node has to know to score a part, and what TARGET says of it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from model_store.bundle import Model, open_model
from model_store.manifest import EngineName
from model_store.store.location import is_bucket
from model_store.store.store import ModelStore, default_root
from training.cluster.places import address_of


@dataclass(frozen=True, slots=True)
class Job:
    """One version, the images that it is asked about, and where its answers go.

    Attributes:
        store: the address of the store; see `address_of`.
        target: where the answers go.
        source: where the images are.
        name: of the model.
        version: of the model.
        engine: that answers, the same everywhere, as engines differ in the last digits.
        created_at: of the version, as another store may have one of the same number.
    """

    store: str
    target: str
    source: str
    name: str
    version: int
    engine: EngineName
    created_at: str

    @property
    def mark(self) -> bytes:
        """What TARGET states: all that the answers depend on."""
        stated = asdict(self)
        del stated["store"], stated["target"]
        return json.dumps(stated, indent=2).encode()

    def open_model(self) -> Model:
        """Open the version for one CPU.

        Raises:
            ModelStoreError: it is not there, or must not or cannot answer here.
        """
        root = self.store if is_bucket(self.store) else Path(self.store)
        bundle = ModelStore(root).bundle(self.name, self.version)
        return open_model(bundle, self.engine, threads=1)


def job_of(model: Model, source: str, target: str) -> Job:
    """Return the job of asking an opened model of the default store about `source`."""
    return Job(
        store=address_of(default_root()),
        target=address_of(target),
        source=address_of(source),
        name=model.name,
        version=model.version,
        engine=model.engine_name,
        created_at=model.manifest.created_at.isoformat(),
    )
