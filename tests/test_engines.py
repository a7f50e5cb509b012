"""Engines: which are tried, whether all give the same bottlenecks, and how that is checked."""

import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from xferlearn import load_backbone
from xferlearn.bottlenecks import engines
from xferlearn.bottlenecks.engines import Engine, EnginePlan, build_engine, planning
from xferlearn.bottlenecks.engines.parity import BOUNDS
from xferlearn.bottlenecks.engines.requests import REQUEST_SIZE, side_by_side
from xferlearn.errors import UserError

SIZE = 32
PLANS = [
    EnginePlan(name, precision)
    for name in ("tensorflow", "openvino")
    for precision in ("float32", *(("bfloat16",) if planning.has_bfloat16() else ()))
]
OV16, OV32 = EnginePlan("openvino", "bfloat16"), EnginePlan("openvino", "float32")
TF16, TF32 = EnginePlan("tensorflow", "bfloat16"), EnginePlan("tensorflow", "float32")


def pictures() -> np.ndarray:
    """Twenty-one pictures: two whole requests and a part of one."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(0, 256, (21, 4, 4, 3), np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


def backbone(seed: int = 0):
    """A small network whose BatchNorm layers hold the pictures' statistics, as after training."""
    import keras

    model = load_backbone("mobilenet_0.25", weights="none", image_size=SIZE, seed=seed)
    generator = np.random.default_rng(seed)
    layers = list(model.layers)
    for layer in layers:
        layers += getattr(layer, "layers", [])
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            layer.gamma.assign(generator.uniform(0.2, 0.6, layer.gamma.shape))
            layer.beta.assign(generator.uniform(0.3, 1.0, layer.beta.shape))
    model.trainable = True
    model(pictures().astype(np.float32), training=True)
    model.trainable = False
    return model


@pytest.fixture(scope="module")
def model():
    return backbone()


@pytest.fixture(scope="module")
def built(model) -> dict[EnginePlan, Engine]:
    """All engines of this machine, of `model`."""
    return {plan: build_engine(model, plan) for plan in PLANS}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return pictures()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    """Sets whether the processor has bfloat16, and whether OpenVINO is installed."""

    def set_up(bfloat16: bool, openvino: bool) -> None:
        monkeypatch.setattr(planning, "has_bfloat16", lambda: bfloat16)
        monkeypatch.setattr(planning, "openvino_installed", lambda: openvino)

    return set_up


@pytest.mark.parametrize(
    ("bfloat16", "openvino", "asked", "plans"),
    [
        (True, True, ("auto", "auto"), (OV16, OV32, TF32)),
        (True, False, ("auto", "auto"), (TF16, TF32)),
        (False, True, ("auto", "auto"), (OV32, TF32)),
        (False, False, ("auto", "auto"), (TF32,)),
        (True, True, ("auto", "float32"), (OV32, TF32)),
        (True, True, ("auto", "bfloat16"), (OV16, TF16)),
        (True, False, ("auto", "bfloat16"), (TF16,)),
        (True, True, ("openvino", "auto"), (OV16, OV32)),
        (False, True, ("openvino", "auto"), (OV32,)),
        (True, True, ("openvino", "float32"), (OV32,)),
        (True, True, ("tensorflow", "auto"), (TF16, TF32)),
        (False, True, ("tensorflow", "float32"), (TF32,)),
        (True, False, ("tensorflow", "bfloat16"), (TF16,)),
    ],
)
def test_the_fastest_comes_first(machine, bfloat16, openvino, asked, plans) -> None:
    machine(bfloat16, openvino)
    assert engines.plan_engines(*asked) == plans


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_an_engine_that_is_not_installed_names_its_extra(machine, precision: str) -> None:
    machine(bfloat16=True, openvino=False)
    with pytest.raises(UserError, match=r'pip install "xferlearn\[openvino\]"'):
        engines.plan_engines("openvino", precision)


@pytest.mark.parametrize("engine", ["auto", "tensorflow", "openvino"])
def test_bfloat16_needs_a_processor_that_has_it(machine, engine: str) -> None:
    machine(bfloat16=False, openvino=True)
    with pytest.raises(UserError, match=r"no bfloat16 arithmetic .*`precision='float32'` or"):
        engines.plan_engines(engine, "bfloat16")


def test_openvino_reports_nothing_to_its_makers(built) -> None:
    assert EnginePlan("openvino", "float32") in built
    # As if it were not installed: what it would send takes dozens of processes, too.
    assert sys.modules["openvino_telemetry"] is None


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.name} {plan.precision}")
def test_all_engines_give_the_bottlenecks_of_keras(model, built, pixels, plan) -> None:
    engine = built[plan]
    assert (engine.name, engine.precision) == (plan.name, plan.precision)
    expected = np.asarray(model(pixels.astype(np.float32), training=False))
    # A network that gave all pictures the same would agree with itself in any engine.
    spread = np.linalg.norm(expected - expected.mean(axis=0), axis=1)
    assert (spread > 0.02 * np.linalg.norm(expected, axis=1)).all()
    found = engine.run(pixels)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() <= BOUNDS[plan.precision]
    if plan.precision == "bfloat16":
        # 8 bits of precision: whatever is more exact did not compute in bfloat16, or as fast.
        assert error.max() > 1e-4


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.name} {plan.precision}")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 21])
def test_a_photo_has_the_same_bottleneck_in_any_batch(built, pixels, plan, count: int) -> None:
    run = built[plan].run
    whole = run(pixels)
    part = run(pixels[len(pixels) - count :])
    assert part.shape == (count, whole.shape[1])
    assert part.dtype == np.float32
    tolerance = BOUNDS[plan.precision] / 10 * np.linalg.norm(whole, axis=1).max()
    np.testing.assert_allclose(part, whole[len(pixels) - count :], atol=tolerance)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.name} {plan.precision}")
def test_one_engine_serves_several_threads(built, pixels, plan) -> None:
    expected = built[plan].run(pixels)
    found: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        found[number] = built[plan].run(np.roll(pixels, number, axis=0))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_allclose(
            np.roll(found[number], -number, axis=0), expected, atol=1e-2 * np.abs(expected).max()
        )


def test_bfloat16_of_one_engine_reaches_no_other_function(model, built, pixels) -> None:
    import tensorflow as tf

    before = dict(tf.config.optimizer.get_experimental_options())
    exact = built[TF32].run(pixels)
    if TF16 in built:
        built[TF16].run(pixels)
    assert tf.config.optimizer.get_experimental_options() == before
    np.testing.assert_array_equal(build_engine(model).run(pixels), exact)
    np.testing.assert_array_equal(built[TF32].run(pixels), exact)


@pytest.mark.parametrize("cores", [1, None, 3])
def test_any_number_of_cores(model, built, pixels, give_cores, cores: int | None) -> None:
    give_cores(cores)
    found = build_engine(model, TF32).run(pixels)
    np.testing.assert_allclose(found, built[TF32].run(pixels), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (None, 1), (3, 3)])
def test_no_more_parts_at_a_time_than_cores(give_cores, cores: int | None, most: int) -> None:
    give_cores(cores)
    at_work, seen = [], []

    def request(part: np.ndarray) -> np.ndarray:
        at_work.append(1)
        seen.append(len(at_work))
        time.sleep(0.01)
        at_work.pop()
        return part[:, None].astype(np.float32)

    side_by_side(request, 1)(np.arange(10 * REQUEST_SIZE))
    assert max(seen) == most


@pytest.mark.parametrize("cores", [1, None, 2, 8])
def test_parts_that_end_out_of_order_are_put_in_order(give_cores, cores: int | None) -> None:
    give_cores(cores)
    sizes: list[int] = []

    def request(part: np.ndarray) -> np.ndarray:
        time.sleep(0.02 if part[0] == 0 else 0.0)
        sizes.append(len(part))
        return part[:, None].astype(np.float32)

    run = side_by_side(request, 1)
    batch = np.arange(3 * REQUEST_SIZE + 5)
    np.testing.assert_array_equal(run(batch)[:, 0], batch)
    assert sorted(sizes) == [5, *[REQUEST_SIZE] * 3]
    assert run(batch[:0]).shape == (0, 1)
    assert len(sizes) == 4


def test_an_error_in_a_part_is_an_error_of_the_batch() -> None:
    def request(part: np.ndarray) -> np.ndarray:
        if 20 in part:
            raise RuntimeError("no memory")
        return part[:, None]

    run = side_by_side(request, 1)
    with pytest.raises(RuntimeError, match="no memory"):
        run(np.arange(30))
    assert len(run(np.arange(10))) == 10


def toy(change: Callable[[np.ndarray], np.ndarray] = lambda x: x, precision="float32") -> Engine:
    """Mean colours, changed."""
    return Engine(
        "openvino",
        precision,
        lambda pixels: change(pixels.mean(axis=(1, 2)).astype(np.float32)),
    )


def test_parity_is_the_largest_relative_error_of_a_photo(pixels) -> None:
    def third_is_off(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[2] *= 1.25
        x[4] *= 0.9
        return x

    found = engines.measure_parity(toy(third_is_off), toy(), pixels)
    assert found.found == pytest.approx(0.25, rel=1e-5)
    assert (found.engine, found.precision, found.photos) == ("openvino", "float32", 16)
    assert found.bound == BOUNDS["float32"]
    assert not found.passed
    assert str(found) == (
        "openvino float32 differs from float32 TensorFlow by up to 0.25 of a bottleneck's length"
        " on 16 photos (allowed: 0.001)"
    )
    same = engines.measure_parity(toy(), toy(), pixels[:3])
    assert (same.found, same.photos, same.passed) == (0.0, 3, True)


@pytest.mark.parametrize(
    ("precision", "factor", "passed"),
    [
        *(("float32", 1.0009, True), ("float32", 1.0011, False), ("float32", 0.9989, False)),
        *(("bfloat16", 1.09, True), ("bfloat16", 1.11, False), ("bfloat16", 0.85, False)),
    ],
)
def test_each_precision_has_its_bound(pixels, precision, factor, passed) -> None:
    found = engines.measure_parity(toy(lambda x: x * factor, precision), toy(), pixels)
    assert found.passed is passed


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_never_passes(pixels, wrong: float) -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[1, 1] = wrong
        return x

    found = engines.measure_parity(toy(broken), toy(), pixels)
    assert not found.passed
    assert found.found == np.inf


def test_bottlenecks_of_nothing_but_zeros_can_be_compared(pixels) -> None:
    zero = toy(np.zeros_like)
    assert engines.measure_parity(zero, zero, pixels).passed
    assert not engines.measure_parity(toy(), zero, pixels).passed


def test_another_network_does_not_pass(built, pixels) -> None:
    other = build_engine(backbone(seed=5), TF32)
    assert not engines.measure_parity(other, built[TF32], pixels).passed
    assert engines.measure_parity(built[OV32], built[TF32], pixels).passed
