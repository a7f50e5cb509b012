"""Weights of a backbone: Keras' downloads and users' files, with errors that say what to do."""

import contextlib
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.backbones.cache import keras_cache
from xferlearn.backbones.table import BackboneSpec
from xferlearn.errors import UserError, XferlearnError
from xferlearn.system.progress import shows_bars
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

# The standard deviations that Keras' EfficientNet weights hold in place of variances.
_EFFICIENTNET_STDDEV = (0.229, 0.224, 0.225)
_SUFFIXES = (".weights.h5", ".h5", ".hdf5", ".keras")


@contextlib.contextmanager
def downloading(spec: BackboneSpec, verbose: int = 1) -> Iterator[None]:
    """Lets Keras download ImageNet weights inside the block; its progress goes to stderr.

    Args:
        spec: the backbone, for messages.
        verbose: 0 shows no progress.

    Raises:
        XferlearnError: the download failed, or the file in Keras' cache is damaged.
    """
    progress = _Progress(verbose)
    with warnings.catch_warnings(), contextlib.redirect_stdout(progress):
        # Keras warns that it uses the weights for the default size; `load_backbone` documents it.
        warnings.filterwarnings("ignore", message=r"`input_shape` is undefined or non-square")
        try:
            yield
        except XferlearnError:
            raise
        # Keras raises a bare Exception when a download fails.
        except Exception as error:
            raise _explained(error, spec) from error
        finally:
            progress.end_line()


class _Progress:
    """Passes what Keras prints on to stderr, and can finish a line that was left open.

    A log gets whole lines alone, and not the bar, which overwrites itself.
    """

    encoding = "utf-8"

    def __init__(self, verbose: int) -> None:
        self._verbose, self._bars = verbose, shows_bars(verbose)
        self._open_line = False

    def write(self, text: str) -> int:
        is_line = text.endswith("\n") and text[:-1].isprintable()
        if self._bars or (self._verbose and is_line):
            self._open_line = not text.endswith("\n")
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def end_line(self) -> None:
        if self._open_line:
            self.write("\n")


def _explained(error: Exception, spec: BackboneSpec) -> Exception:
    """Returns the error to raise in place of one that Keras raised."""
    said = str(error)
    folder = keras_cache()
    fetched = re.search(r"URL fetch failure on (\S+):", said)
    damaged = [] if fetched else _damaged_files(folder)
    if damaged:
        return XferlearnError(
            f"Keras can't read the ImageNet weights of {spec.name}: "
            f"{', '.join(map(str, damaged))} is damaged; delete it and run again."
        )
    if fetched or isinstance(error, OSError) or "corrupted file detected" in said:
        target = folder / _cached_name(fetched[1]) if fetched else folder
        return XferlearnError(
            f"Can't download the ImageNet weights of {spec.name} ({one_line(error, 300)}); Keras"
            f" looks for {target} (set KERAS_HOME to move it). efficientnet_lite0 needs no"
            " download."
        )
    if isinstance(error, ValueError):
        return XferlearnError(
            f"Keras can't build {spec.name} with the ImageNet weights in {folder}:"
            f" {one_line(error, 300)}"
        )
    return error


def _cached_name(url: str) -> str:
    name = url.rpartition("/")[2]
    # The only family whose files Keras renames.
    return name.lower().replace("-", "_") if name.startswith("NASNet") else name


def _damaged_files(folder: Path) -> list[Path]:
    import h5py

    damaged = []
    for path in sorted(folder.glob("*.h5")):
        try:
            h5py.File(path, "r").close()
        except OSError:
            damaged.append(path)
    return damaged


def read_weights_file(
    path: Path,
    spec: BackboneSpec,
    network: "keras.Model",
    model: "keras.Model",
    with_top: "Callable[[], keras.Model] | None" = None,
) -> None:
    """Loads a network's weights from a file of the network, of the whole model or the classifier.

    Only weights are read: neither configuration nor code.

    Args:
        path: a .weights.h5, .h5, .hdf5 or .keras file; for EfficientNet-Lite also .pth.
        spec: the backbone, for messages.
        network: the bare network, whose weights are set.
        model: the model around it with preprocessing and pooling, as this package saves it.
        with_top: builds the same network with its classifier, for files that include one.

    Raises:
        UserError: the file can't be read or holds other weights.
    """
    if path.suffix == ".pth" and spec.requirement:
        from xferlearn.backbones.efficientnet_lite import NETWORKS

        return NETWORKS[spec.name].assign_checkpoint(network, path)
    if not path.name.endswith(_SUFFIXES):
        raise UserError(
            f"Expected a weights file that ends in {', '.join(_SUFFIXES)} (or .pth for "
            f"EfficientNet-Lite). Received: {path} for {spec.name}."
        )
    _check_readable(path)
    reasons = []
    for target in (lambda: network, lambda: model, with_top):
        if target is None:
            continue
        loaded = target()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                loaded.load_weights(path)
        # Which error Keras raises on a mismatch depends on the file's format.
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            reasons.append(one_line(error).split(". ")[0])
            continue
        # Keras merely warns about layers inside containers that keep their random weights.
        if any("Skipping nested container" in str(warning.message) for warning in caught):
            reasons.append("some of its layers are not in the file")
            continue
        if loaded is not network and loaded is not model:
            _copy_prefix(loaded, network)
        fold_deviation(network)
        return None
    raise UserError(
        f"{path} does not hold the weights of {spec.name}: {reasons[0]}; use the file with"
        " the backbone that it was saved from."
    )


def _check_readable(path: Path) -> None:
    import h5py

    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                archive.getinfo("model.weights.h5")
        else:
            h5py.File(path, "r").close()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"Can't read the weights file {path}: {one_line(error)}") from None


def _copy_prefix(source: "keras.Model", target: "keras.Model") -> None:
    """Copies weights layer by layer; the source has further layers after the target's."""
    from_layers = [layer for layer in source.layers if layer.weights]
    to_layers = [layer for layer in target.layers if layer.weights]
    for taken, layer in zip(from_layers, to_layers, strict=False):
        layer.set_weights(taken.get_weights())
        # A Normalization layer computes with copies of its weights.
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def fold_deviation(network: "keras.Model") -> None:
    """Corrects the input normalisation of EfficientNet B0-B7 after reading Keras' weights.

    Those files hold standard deviations where the Normalization layer expects variances. Keras
    compensates with one more layer, but only for weights="imagenet" (tensorflow issue 49930);
    here the variance is corrected, which has the same effect.
    """
    import keras

    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, *count = layer.get_weights()
            if np.allclose(variance, _EFFICIENTNET_STDDEV, atol=1e-3):
                layer.set_weights([mean, np.square(variance), *count])
                layer.finalize_state()
