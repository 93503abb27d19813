import gc
import sys
import weakref
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from commands import python, run
from dense_networks import SIZE, compute, layer, network, noise

from model_store.engines import openvino as engine_module
from model_store.engines.openvino import open_file
from model_store.errors import EngineUnavailable, IncompatibleModel, UnsafeModel
from model_store.making.folding import FoldedNetwork
from model_store.making.graphs import Weights, write_graph
from model_store.manifest import EngineName

ov = pytest.importorskip("openvino")

ENGINES: dict[EngineName, Weights] = {
    "openvino-int8": "int8",
    "openvino-f32": "f32",
}
TOLERANCES = {"openvino-int8": 0.03, "openvino-f32": 1e-5}


def has_int8() -> bool:
    try:
        engine_module._check_host("openvino-int8")
    except EngineUnavailable:
        return False
    return True


needs_int8 = pytest.mark.skipif(not has_int8(), reason="this CPU multiplies no bytes")
every_engine = pytest.mark.parametrize(
    "name", [pytest.param("openvino-int8", marks=needs_int8), "openvino-f32"]
)
alone_or_shared = pytest.mark.parametrize("shared", [False, True])


def write(folder: Path, name: EngineName, size: tuple[int, int] = SIZE, hidden: int = 64) -> Path:
    path = folder / f"{name}.xml"
    pixels = size[0] * size[1]
    mean = np.full(pixels, 127.5)
    write_graph(network(pixels, hidden), ENGINES[name], path, size, mean)
    return path


@every_engine
@alone_or_shared
@pytest.mark.parametrize("size", [(1, 1), (2, 2), SIZE, (28, 28), (300, 222)])
def test_answers_as_the_network_does(tmp_path, name, size, shared):
    images = noise(21, size)
    engine = open_file(write(tmp_path, name, size), name, size, threads=2, shared=shared)

    received = engine.predict(images)

    expected = compute(network(size[0] * size[1]), images)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, expected, atol=TOLERANCES[name])
    np.testing.assert_allclose(received.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("size", "pool"), [((9, 7), 2), ((28, 28), 4), ((300, 222), 16)])
def test_block_means_leave_out_what_fills_no_block(tmp_path, size, pool):
    inputs = (size[0] // pool) * (size[1] // pool)
    folded = network(inputs, pool=pool)
    path = tmp_path / "engine.xml"
    write_graph(folded, "f32", path, size, np.zeros(size[0] * size[1]))
    images = noise(5, size)

    received = open_file(path, "openvino-f32", size, pool=pool).predict(images)

    np.testing.assert_allclose(received, compute(folded, images), atol=1e-5)


@every_engine
@alone_or_shared
def test_an_image_gets_the_same_answer_in_every_company(tmp_path, name, shared):
    images = noise(33)
    engine = open_file(write(tmp_path, name), name, SIZE, threads=2, shared=shared)
    alone = np.concatenate([engine.predict(images[row : row + 1]) for row in range(33)])

    for count in (33, 1, 2, 15, 16, 17, 32, 3):
        np.testing.assert_allclose(engine.predict(images[:count]), alone[:count], atol=1e-3)


@pytest.mark.parametrize(
    ("threads", "shared", "pinned"), [(4, False, True), (3, False, False), (4, True, False)]
)
def test_threads_are_tied_to_cores_when_there_is_one_for_each_of_all_cores(
    monkeypatch, threads, shared, pinned
):
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 4)

    settings = engine_module._settings("openvino-int8", threads, shared=shared)

    assert settings["ENABLE_CPU_PINNING"] is pinned


@pytest.mark.parametrize(("weight_bytes", "threads"), [(2_000_000, 1), (40_000_000, 3)])
def test_a_small_network_is_computed_by_one_thread_unless_told_otherwise(
    tmp_path, monkeypatch, weight_bytes, threads
):
    monkeypatch.setattr(engine_module, "available_cpus", lambda: 3)
    path = write(tmp_path, "openvino-f32")
    with path.with_suffix(".bin").open("ab") as weights:
        weights.truncate(weight_bytes)
    settings = Mock(wraps=engine_module._settings)
    monkeypatch.setattr(engine_module, "_settings", settings)

    open_file(path, "openvino-f32", SIZE).close()
    open_file(path, "openvino-f32", SIZE, threads=2).close()

    assert [call.args[1] for call in settings.call_args_list] == [threads, 2]


@every_engine
def test_a_result_survives_the_next_call(tmp_path, name):
    images = noise(4)
    engine = open_file(write(tmp_path, name), name, SIZE, threads=1)

    first = engine.predict(images[:2])
    kept = first.copy()
    engine.predict(images[2:])

    np.testing.assert_array_equal(first, kept)


@needs_int8
@alone_or_shared
def test_bytes_are_multiplied_by_bytes(tmp_path, monkeypatch, shared):
    settings = {**engine_module._settings("openvino-int8", 2, shared=shared), "PERF_COUNT": True}
    monkeypatch.setattr(engine_module, "_settings", lambda *_, **__: settings)
    size = (64, 64)

    engine = open_file(
        write(tmp_path, "openvino-int8", size), "openvino-int8", size, threads=2, shared=shared
    )

    done = engine._request.get_profiling_info()
    product = next(step for step in done if step.node_type in {"MatMul", "FullyConnected"})
    assert product.exec_type.lower().endswith("i8"), product.exec_type
    converted = [step for step in done if step.node_type == "Convert"]
    assert not converted, "neither weights nor pixels are made wider first"


@needs_int8
@pytest.mark.parametrize("pixel", [0, 255])
def test_the_largest_possible_sums_do_not_overflow(tmp_path, pixel):
    size = (512, 300)  # three groups
    layers = (layer(512 * 300, 8), layer(8, 2, "linear", seed=1))
    folded = FoldedNetwork(1, layers)
    layers[0].kernel[:] = np.abs(layers[0].kernel).max()
    layers[0].kernel[:, ::2] *= -1
    layers[0].kernel[:] *= 1e-5 / layers[0].kernel.max()
    path = tmp_path / "engine.xml"
    write_graph(folded, "int8", path, size, np.zeros(512 * 300))
    images = np.full((1, *size), pixel, np.uint8)

    received = open_file(path, "openvino-int8", size, threads=2).predict(images)

    np.testing.assert_allclose(received, compute(folded, images), atol=1e-5)


def test_openvino_reports_to_nobody(tmp_path):
    program = (
        "import sys, model_store.engines.openvino;"
        "print(sys.modules['openvino.tools.ovc.telemetry_utils'].tm.__name__)"
    )
    clean = "env", "-u", "CI", f"HOME={tmp_path}"
    done = run(*clean, sys.executable, "-c", program, check=True)

    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
    assert not (tmp_path / "intel").exists()


def test_no_space_is_an_error_of_the_system(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of file sizes are POSIX's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="space") as error:
            write(tmp_path, "openvino-f32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename == str(tmp_path / "openvino-f32.xml")


@every_engine
def test_shared_weights_stay_in_the_mapped_file(tmp_path, name):
    own, mapped = resident_weights(tmp_path, name, shared=True)

    assert own < 0.5
    assert mapped > 0.9


@needs_int8
def test_packed_weights_are_not_held_a_second_time(tmp_path):
    own, mapped = resident_weights(tmp_path, "openvino-int8", shared=False)

    assert own < 1.5
    assert mapped < 0.1


def resident_weights(tmp_path: Path, name: EngineName, *, shared: bool) -> tuple[float, float]:
    """Return the process's own memory and the mapped file's, as shares of the weights."""
    size, hidden = (256, 256), 512  # 32 to 128 MB of weights
    path = write(tmp_path, name, size, hidden)
    file = path.with_suffix(".bin")
    weights = file.stat().st_size
    images = noise(8, size)
    process = psutil.Process()
    before = sum(one.anonymous for one in process.memory_maps())

    engine = open_file(path, name, size, threads=1, shared=shared)
    engine.predict(images)
    engine.predict(images[:1])

    maps = process.memory_maps()  # by file
    own = sum(one.anonymous for one in maps) - before
    mapped = sum(one.rss for one in maps if one.path == str(file))
    return own / weights, mapped / weights


@every_engine
@alone_or_shared
def test_closing_unmaps_the_weights(tmp_path, name, shared):
    path = write(tmp_path, name)
    engine = open_file(path, name, SIZE, threads=1, shared=shared)
    engine.predict(noise(1))
    request = weakref.ref(engine._request)
    assert str(path.with_suffix(".bin")) in Path("/proc/self/maps").read_text()

    engine.close()
    gc.collect()

    assert request() is None
    assert str(path.with_suffix(".bin")) not in Path("/proc/self/maps").read_text()
    with pytest.raises(EngineUnavailable, match="closed"):
        engine.predict(noise(1))


@every_engine
def test_images_of_another_size_do_not_fit(tmp_path, name):
    with pytest.raises(IncompatibleModel, match="Expected input for images of"):
        open_file(write(tmp_path, name), name, (90, 70), threads=1)


def test_an_engine_that_takes_no_bytes_is_of_another_version(tmp_path):
    opset = ov.opset15
    pixels = opset.parameter([1, -1, SIZE[0] * SIZE[1]], ov.Type.i8)
    features = opset.add(opset.convert(pixels, "f32"), np.float32(1))
    ov.save_model(ov.Model([opset.result(features)], [pixels]), tmp_path / "other.xml")

    with pytest.raises(EngineUnavailable, match="another version"):
        open_file(tmp_path / "other.xml", "openvino-f32", SIZE, threads=1)


def test_an_operation_that_no_export_writes_is_refused(tmp_path):
    opset = ov.opset15
    pixels = opset.parameter([-1, *SIZE], ov.Type.u8)
    features = opset.exp(opset.add(opset.convert(pixels, "f32"), np.float32(1)))
    model = ov.Model([opset.result(features)], [pixels])
    ov.save_model(model, tmp_path / "strange.xml")

    with pytest.raises(UnsafeModel, match="Exp"):
        open_file(tmp_path / "strange.xml", "openvino-f32", SIZE, threads=1)


@pytest.mark.parametrize("content", [b"", b"<net>", b"<?xml version='1.0'?><net><layers/></net>"])
def test_a_broken_file_makes_the_engine_unavailable(tmp_path, content):
    path = tmp_path / "broken.xml"
    path.write_bytes(content)
    path.with_suffix(".bin").write_bytes(b"")

    with pytest.raises((EngineUnavailable, IncompatibleModel)):
        open_file(path, "openvino-f32", SIZE, threads=1)


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_weights_that_are_not_all_there_make_the_engine_unavailable(tmp_path, damage):
    path = write(tmp_path, "openvino-f32")
    weights = path.with_suffix(".bin")
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(EngineUnavailable, match="cannot run"):
        open_file(path, "openvino-f32", SIZE, threads=1)


def test_int8_needs_instructions_that_do_not_saturate(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("flags : fpu sse avx avx2 avx512f")
    monkeypatch.setattr(engine_module, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(engine_module.platform, "machine", lambda: "x86_64")

    with pytest.raises(EngineUnavailable, match="VNNI"):
        open_file(tmp_path / "any.xml", "openvino-int8", SIZE, threads=1)


INTERRUPTED = """
import gc, os, signal, sys
from pathlib import Path
from model_store.engines.openvino import open_file

for _ in range(3):
    first, second = (
        open_file(Path(sys.argv[1]), "openvino-f32", (%d, %d), threads=1) for _ in range(2)
    )
    first.close()
    del first
    gc.collect()
    second.close()
    del second
    gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_is_heard_after_engines_are_gone(tmp_path):
    path = write(tmp_path, "openvino-f32")

    done = python("-c", INTERRUPTED % SIZE, path)

    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
