"""Photos, bottlenecks, models, runs and results in buckets of an S3 server on this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buckets import put_folder, s3_server
from test_runners import RAY_WARNINGS

from xferlearn.cli import main
from xferlearn.model_folder import read_model_folder
from xferlearn.system.places import place_of

pytestmark = [pytest.mark.slow, RAY_WARNINGS]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`kill_at("put_object", is_it, words)`: kills a Python process while a request is served.

    `is_it` gets the request's arguments. What the process asked for is then done by the server.
    """
    from moto.s3.models import S3Backend

    def kill(method: str, is_it: Callable[..., bool], *words: str) -> None:
        real = getattr(S3Backend, method)
        reached, killed = threading.Event(), threading.Event()

        def waiting(self: Any, *args: Any, **kwargs: Any) -> Any:
            if is_it(*args, *kwargs.values()):
                reached.set()
                killed.wait(60)
                raise ConnectionError("its client is gone")
            return real(self, *args, **kwargs)

        monkeypatch.setattr(S3Backend, method, waiting)
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
        assert reached.wait(300), f"exit code {process.poll()}"
        process.kill()
        process.wait()
        killed.set()
        monkeypatch.setattr(S3Backend, method, real)

    return kill


def names(address: str) -> list[str]:
    return sorted(one.name for one in place_of(address).files(below=True))


_WRITE = """
import sys
from xferlearn.system.places import place_of
place_of(sys.argv[1]).write("model.keras", bytes(25 * 2**20))
"""


def test_half_an_upload_is_never_seen(
    bucket: str, kill_at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.models import S3Backend

    place = place_of(f"{bucket}/half")
    place.write("model.keras", b"old")

    def is_second(*args: Any) -> bool:
        return 2 in args

    kill_at("upload_part", is_second, "-c", _WRITE, place.address)
    assert names(place.address) == ["model.keras"]
    assert place.read("model.keras") == b"old"
    real = S3Backend.upload_part

    def failing(self: Any, bucket_name: str, multipart: str, part: int, value: bytes) -> Any:
        if part == 2:
            raise RuntimeError("no room")
        return real(self, bucket_name, multipart, part, value)

    with monkeypatch.context() as patched:
        patched.setattr(S3Backend, "upload_part", failing)
        with pytest.raises(OSError, match="INTERNAL_FAILURE"):
            place.write("model.keras", bytes(25 * 2**20))
    assert names(place.address) == ["model.keras"]
    assert place.read("model.keras") == b"old"
    place.write("model.keras", bytes(25 * 2**20))
    assert len(place.read("model.keras")) == 25 * 2**20


def test_all_the_way_in_a_bucket(
    bucket: str,
    photo_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill_at: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    photos, model, logs = f"{bucket}/photos", f"{bucket}/models/colours", f"{bucket}/logs"
    put_folder(photo_dir, photos)
    common = [f"--bottleneck_dir={bucket}/bottlenecks", "--verbose=0"]
    words = [
        "train", f"--image_dir={photos}", f"--model_dir={model}", f"--logs_dir={logs}", *common,
        "--backbone=mobilenet_0.25", "--weights=none", "--image_size=32", "--dropout=0",
        "--how_many_training_steps=60", "--engine=tensorflow", "--precision=float32",
    ]  # fmt: skip

    def is_model(*args: Any) -> bool:
        return any(str(one).endswith("model.keras") for one in args if isinstance(one, str))

    kill_at("put_object", is_model, "-m", "xferlearn", *words)
    assert "metadata.json" not in names(model)
    assert names(logs) == []
    assert names(f"{bucket}/bottlenecks")
    assert main(words) == 0
    said = capsys.readouterr()
    assert "0 computed" in said.out  # the bottlenecks of the killed one
    assert f"model {model}" in " ".join(said.out.split())
    assert names(model) == [
        "labels.txt", "metadata.json", "model.keras", "photos.csv", "predictions.parquet"
    ]  # fmt: skip
    assert read_model_folder(model).labels == ("blue", "green", "red")
    assert any("tfevents" in name for name in names(logs))
    assert main(words) == 2
    assert "holds a model already" in capsys.readouterr().err

    given = [f"--model={model}", *common]
    assert main(["label", *given, photos, f"--output={bucket}/out/labels.csv"]) == 0
    lines = place_of(f"{bucket}/out").read("labels.csv").decode().splitlines()
    assert len(lines) == 1 + len(names(photos))
    place_of(bucket).write("labels.csv", _table(names(photos)))
    assert main([
        "evaluate", *given, f"--image_dir={photos}", f"--labels={bucket}/labels.csv",
        "--include_seen", f"--output={bucket}/out/probabilities.parquet", f"--logs_dir={logs}",
    ]) == 0  # fmt: skip
    assert names(f"{bucket}/out") == ["labels.csv", "probabilities.parquet"]
    assert main(["export", f"--model={model}", "--format=onnx", "--verbose=0"]) in (0, 1)
    assert "exports/report.json" in names(model)
    assert main(["inspect", f"--model={model}"]) == 0
    assert main(["diff", model, model]) == 0
    assert main([*words, "--overwrite", "--runner=ray"]) == 0
    parts = ["label", *given, photos, f"--output={bucket}/out/parts"]
    assert main([*parts, "--runner=ray"]) == 0
    written = names(f"{bucket}/out/parts")
    assert main(parts) == 0  # which are there, wherever they were made
    assert names(f"{bucket}/out/parts") == written
    assert [name.partition("-")[0] for name in written] == ["_job.json", "labels"]
    assert "exports/report.json" not in names(model)
    said = capsys.readouterr()
    for text in (said.out, said.err, place_of(model).read("metadata.json").decode()):
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in text
        assert str(tmp_path / "cache") not in text
    assert not any(path.name.startswith("s3:") for path in tmp_path.iterdir())


def _table(photos: list[str]) -> bytes:
    return "".join(["file,label\n", *(f"{one},{one.split('/')[0]}\n" for one in photos)]).encode()
