import numpy as np

from model_store.bundle import open_model
from model_store.store import ModelStore


def test_every_engine_answers_as_the_keras_model(shared_tiny_store: ModelStore) -> None:
    bundle = shared_tiny_store.bundle("tiny")
    images = np.random.default_rng(1).integers(0, 256, (7, 12, 10), np.uint8)
    expected = open_model(bundle, "keras").predict(images)

    for engine in bundle.manifest.engines:
        model = open_model(bundle, engine)
        answers = model.predict(images)
        model.close()

        assert answers.shape == (7, 3)
        assert answers.dtype == np.float32
        assert np.abs(answers - expected).max() < 0.05
        assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)
