"""A model folder's model in two: the frozen networks, and the head behind their bottlenecks.

The head is kept in OpenVINO's form, as networks are, so that labelling need not load the model.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.bottlenecks.engines import KeptNetwork
from xferlearn.bottlenecks.engines.openvino_runtime import convert, run_converted
from xferlearn.config import ImageConfig, local_bottleneck_dir
from xferlearn.model_folder import FAMILIARITY, FILES, MODEL_FILE, PREDICTIONS, ModelFolder
from xferlearn.predictors.base import Answers
from xferlearn.system.runtime import float32_layers

if TYPE_CHECKING:
    import keras

# From bottlenecks, float32, [photos, width], to what the model says of these photos.
Head = Callable[[np.ndarray], Answers]
# Largest difference of a probability, or of a familiarity, from the Keras model's.
_BOUND = 1e-4
_TRIED_ROWS = 16


class SplitModel:
    """A model, split at its bottlenecks where somebody asks for a part; it is loaded then."""

    def __init__(
        self,
        load: Callable[[], "keras.Model"],
        layers: Sequence[str],
        joined: str,
        widths: Sequence[int],
    ) -> None:
        """Prepares the parts; loads nothing.

        Args:
            load: returns the model, as `heads.build_classifier` returns it.
            layers: names of the layers whose outputs are the bottlenecks of the backbones.
            joined: name of the layer whose output the head takes: the only one of them, or what
                joins them.
            widths: values per bottleneck of each backbone, as metadata state them.
        """
        self._load = load
        self._layers, self._joined, self._widths = layers, joined, widths

    @classmethod
    def of(cls, metadata: Mapping[str, Any], load: Callable[[], "keras.Model"]) -> "SplitModel":
        """Returns the parts of a model of which metadata.json says where they meet.

        Raises:
            KeyError: it does not say it; likewise TypeError and AttributeError.
        """
        bottleneck = metadata["bottleneck"]
        layers = [said["layer"] for said in parts_of(bottleneck)]
        widths = [said["width"] for said in parts_of(metadata["feature_space"])]
        return cls(load, layers, bottleneck["layer"], widths)

    def network(self, index: int) -> "keras.Model":
        """Returns a backbone, from pixels to its bottlenecks.

        Raises:
            ValueError: the model has no such layers, or they are of other widths.
        """
        return self._parts[0][index]

    def head(self) -> "keras.Model":
        """Returns the head, from bottlenecks to the model's outputs; errors are as of `network`."""
        return self._parts[1]

    @functools.cached_property
    def _parts(self) -> tuple[list["keras.Model"], "keras.Model"]:
        model = self._load()  # which starts TensorFlow, quietly
        import keras

        with float32_layers():
            networks = [
                keras.Model(model.input, model.get_layer(name).output) for name in self._layers
            ]
            for network, width in zip(networks, self._widths, strict=True):
                if width != network.output_shape[-1]:
                    raise ValueError(
                        f"it says that a bottleneck has {width} values, and the model's has"
                        f" {network.output_shape[-1]}"
                    )
            return networks, keras.Model(model.get_layer(self._joined).output, model.output)


def kept_head(root: Path, model_folder: ModelFolder, *, familiarity: bool) -> KeptNetwork | None:
    """Returns the place of a model's head; None for models of versions that kept no digest.

    Args:
        root: folder of the bottlenecks.
        model_folder: the model.
        familiarity: whether the head says how familiar photos are.
    """
    digest = model_folder.metadata.get(FILES, {}).get(MODEL_FILE)
    if digest is None:
        return None
    key = {"model": digest, "familiarity": familiarity}
    return KeptNetwork.of(root, f"heads/{digest[:16]}", key)


def keep_head(model_folder: ModelFolder, model: "keras.Model", config: ImageConfig) -> None:
    """Keeps the head of a model that was just trained, where its networks run in OpenVINO.

    Args:
        model_folder: the folder.
        model: its model.
        config: folder of the bottlenecks.
    """
    metadata = model_folder.metadata
    if any(engine["name"] != "openvino" for engine in parts_of(metadata["engine"])):
        return
    says_familiarity = isinstance(model.output, dict)
    root = local_bottleneck_dir(config)
    kept = kept_head(root, model_folder, familiarity=says_familiarity)
    start_head(SplitModel.of(metadata, lambda: model).head, kept)


def parts_of(said: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Returns what metadata say of each backbone that is combined, or of the only one."""
    return said.get("parts", [said])


def start_head(load: Callable[[], "keras.Model"], kept: KeptNetwork | None) -> Head:
    """Returns a head that runs in OpenVINO, or where that is not exact enough in TensorFlow.

    Args:
        load: returns the head; called where it is not kept.
        kept: where it is kept in OpenVINO's form; None for nowhere, and for TensorFlow.
    """
    if kept is None:
        return run_in_tensorflow(load())
    converted = kept.read()
    if converted is None:
        head = load()
        converted = convert(one_output(head), "float32")
        if not _agrees(run_converted(converted).run, head):
            return run_in_tensorflow(head)
        kept.write(converted)
    run = run_converted(converted).run
    says_familiarity = bool(kept.key["familiarity"])
    return lambda rows: split_answers(run(rows), says_familiarity=says_familiarity)


def run_in_tensorflow(head: "keras.Model") -> Head:
    """Returns a head as one call of TensorFlow: layer by layer, Keras takes longer for a photo."""
    import tensorflow as tf

    rows = tf.TensorSpec([None, head.input_shape[1]], tf.float32)
    compiled = tf.function(
        lambda bottlenecks: head(bottlenecks, training=False),
        input_signature=[rows],
        autograph=False,
    )
    return lambda bottlenecks: Answers.of_model(compiled(bottlenecks))


def one_output(model: "keras.Model") -> "keras.Model":
    """Returns a model whose outputs are side by side, which `split_answers` takes apart."""
    import keras

    if not isinstance(model.output, dict):
        return model
    ends = [model.output[name] for name in (PREDICTIONS, FAMILIARITY)]
    with float32_layers():
        return keras.Model(model.input, keras.layers.Concatenate()(ends))


def split_answers(found: np.ndarray, *, says_familiarity: bool) -> Answers:
    """Returns what the values of `one_output` say."""
    return Answers(found[:, :-1], found[:, -1]) if says_familiarity else Answers(found)


def _agrees(run: Callable[[np.ndarray], np.ndarray], head: "keras.Model") -> bool:
    # Means of positive numbers, as bottlenecks mostly are.
    shape = (_TRIED_ROWS, head.input_shape[1])
    rows = np.random.default_rng(0).exponential(0.5, shape).astype(np.float32)
    expected: Any = one_output(head)(rows, training=False)
    return bool(np.abs(run(rows) - np.asarray(expected)).max() <= _BOUND)
