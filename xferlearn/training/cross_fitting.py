"""Many heads in one fit: the same layers, each head learning from photos of its own.

So every photo gets a prediction by a head that never saw it, at little more than the cost of one
head: a batch goes through all heads at once.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.metrics import cross_entropy
from xferlearn.system.runtime import float32_layers, quiet_retracing
from xferlearn.system.vectors import Vectors, blocks_of, new_table
from xferlearn.training.batches import (
    Rows,
    class_shares,
    class_weights,
    label_weights,
    weighted_batches,
)
from xferlearn.training.callbacks import Training, judged_logs
from xferlearn.training.descent import loss_of_sets, optimizer_of
from xferlearn.training.head import FeatureScale, build_head, normalised
from xferlearn.training.plan import HeadPlan
from xferlearn.training.stored_rows import StoredRows

if TYPE_CHECKING:
    import keras

# Points of the charts.
LOOKS = 10
# Of photos that have a class, from which a head begins.
_LEAST_SHARE = 1e-4
# Rows by which a head that diverged is known.
_FEW = 16


@dataclasses.dataclass(frozen=True)
class HeadStack:
    """Heads that were trained together.

    Attributes:
        plan: what they are.
        scale: of the bottlenecks, the same for all.
        kernels: float32, [width, heads, units] of the hidden layer, where there is one, and
            [units, heads, classes] of the last.
        biases: float32, [heads, units] and [heads, classes] likewise.
    """

    plan: HeadPlan
    scale: FeatureScale
    kernels: tuple[np.ndarray, ...] = dataclasses.field(repr=False)
    biases: tuple[np.ndarray, ...] = dataclasses.field(repr=False)

    def predict(
        self, head: int, bottlenecks: Vectors, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the probabilities of one head, float32, [photos, classes], range [0, 1].

        Args:
            head: which one.
            bottlenecks: float32, [photos, width].
            rows: positions of the photos that are asked about, int, [number]; None for all.
        """
        layers = [
            (np.ascontiguousarray(kernel[:, head]), bias[head])
            for kernel, bias in zip(self.kernels, self.biases, strict=True)
        ]
        number = len(bottlenecks) if rows is None else len(rows)
        found = new_table(number, self.biases[-1].shape[1])
        with np.errstate(over="ignore", invalid="ignore"):  # of heads that diverged
            for places, block in blocks_of(bottlenecks, rows):
                x = self.scale.apply(block)
                for kernel, bias in layers[:-1]:
                    x = np.maximum(x @ kernel + bias, 0)
                logits = x @ layers[-1][0] + layers[-1][1]
                if self.plan.multi_label:
                    found[places] = 1 / (1 + np.exp(-logits))
                    continue
                powers = np.exp(logits - logits.max(axis=1, keepdims=True))
                found[places] = powers / powers.sum(axis=1, keepdims=True)
        return found

    def out_of_fold(self, bottlenecks: Vectors, folds: np.ndarray) -> np.ndarray:
        """Returns the probabilities of photos, each by the head of its fold.

        Args:
            bottlenecks: float32, [photos, width].
            folds: fold of each photo, which is the number of the head that never saw it; photos
                with -1 are passed over.

        Returns:
            Float32, [photos with a fold, classes], range [0, 1].
        """
        judged = np.flatnonzero(folds >= 0)
        found = new_table(len(judged), self.biases[-1].shape[1])
        parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
        if isinstance(bottlenecks, np.ndarray):
            parts = [(np.arange(len(judged)), judged, bottlenecks)]
        else:  # read once, not once per fold
            blocks = bottlenecks.blocks(judged)
            parts = ((places, np.arange(len(block)), block) for places, block in blocks)
        for places, rows, x in parts:
            of_rows = folds[judged[places]]
            for fold in np.unique(of_rows).tolist():
                own = of_rows == fold
                found[places[own]] = self.predict(fold, x, rows[own])
        return found

    def with_temperature(self, temperature: float) -> "HeadStack":
        """Returns the same heads with their logits divided by a temperature."""
        *kernels, last = self.kernels
        *biases, bias = self.biases
        return dataclasses.replace(
            self,
            kernels=(*kernels, last / np.float32(temperature)),
            biases=(*biases, bias / np.float32(temperature)),
        )

    def weights(self, number: int) -> dict[str, np.ndarray]:
        """Returns the weights of one head by the names that they have in its Keras model."""
        names = ("hidden", "predictions")[-len(self.kernels) :]
        found: dict[str, np.ndarray] = {}
        for name, kernel, bias in zip(names, self.kernels, self.biases, strict=True):
            found |= {f"{name}/kernel": kernel[:, number], f"{name}/bias": bias[number]}
        return found

    def head(self, number: int) -> "keras.Model":
        """Returns one head as a Keras model of its own, as `build_head` does."""
        classes, width = self.biases[-1].shape[1], self.kernels[0].shape[0]
        plan = self.plan
        head = build_head(
            width,
            classes,
            hidden_units=plan.hidden_units,
            dropout=plan.dropout,
            weight_decay=plan.weight_decay,
            scale=self.scale,
            seed=plan.seed,
            multi_label=plan.multi_label,
        )
        weights = self.weights(number)
        for name in ("hidden", "predictions")[-len(self.kernels) :]:
            head.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
        return head


def fit_heads(
    x: np.ndarray | StoredRows,
    y: np.ndarray,
    learned: np.ndarray,
    classes: int,
    plan: HeadPlan,
    scale: FeatureScale,
    *,
    known: np.ndarray | None = None,
    validation: Callable[[HeadStack], tuple[np.ndarray, np.ndarray]] | None = None,
    callbacks: Callable[[Rows, Callable[[], HeadStack]], Sequence["keras.callbacks.Callback"]]
    | None = None,
    check: Callable[[], None] | None = None,
) -> tuple[HeadStack, Training]:
    """Trains heads together; each ends as if it had been trained alone, but for its batches.

    All heads see the same batches, and each learns from those photos in them that are its own. The
    learning rate falls to zero along a cosine (Loshchilov and Hutter 2017); there is no early stop.
    Without a hidden layer, photos are centred between the classes rather than at their mean.

    Args:
        x: bottlenecks, float32, [rows, width], in memory or in their stores.
        y: class indices, int32, [rows]; where the plan is for several labels, whether each row has
            each class, float32, [rows, classes].
        learned: which rows each head learns from, bool, [rows, heads].
        classes: number of classes.
        plan: the heads, and how they are trained.
        scale: of the bottlenecks, such as `measure_scale` returns.
        known: rows whose class shares every head may know, bool, [rows]; None for all. They are all
            that a head learns from, but for heads that are not measured.
        validation: returns probabilities and class indices of photos by heads that never saw them;
            called for each point of the charts.
        callbacks: returns Keras callbacks for `fit`, given a batch and what returns the heads in
            their present state; each of their epochs is one point of the charts. None for no
            charts.
        check: called some ten times; what it raises ends the fit. None for nothing.

    Returns:
        The heads, and how the training went.
    """
    import keras

    number = learned.shape[1]
    if known is None:
        known = np.ones(len(y), bool)
    if not plan.hidden_units:
        scale = dataclasses.replace(scale, mean=_between_classes(x, y, np.flatnonzero(known)))
    shares = class_shares(y, learned, classes, plan.class_weight, known)
    model = _stacked(x.shape[1], plan, scale, shares)
    looks = _looks(plan.steps)
    # The same with and without charts, which must not change the heads.
    steps = plan.steps // looks * looks
    looks = looks if callbacks or check else 1
    per_look = steps // looks
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, steps)
    optimizer = optimizer_of(plan, schedule)
    # Built before `fit`, which would otherwise trace each step a second time.
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        # A sum over heads of their means over photos, so heads don't change each other.
        loss=(
            loss_of_sets(label_weights(y, learned, shares))
            if plan.multi_label
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        ),
        weighted_metrics=[]
        if plan.multi_label
        else [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        steps_per_execution=per_look,
        # XLA takes longer to compile than small heads take to train.
        jit_compile=False,
    )

    def stack() -> HeadStack:
        return _unstacked(model, number, plan, scale)

    rows = Rows(x, y, learned, class_weights(y, learned, shares))
    watcher = _watcher(number, stack, validation if callbacks else None)
    batches = weighted_batches(rows, min(plan.batch_size, len(y)), plan.seed)
    with quiet_retracing(), batches as endless:
        model.fit(
            endless,
            epochs=looks,
            steps_per_epoch=per_look,
            # First, because the others read what it finds.
            callbacks=[
                watcher,
                *(callbacks(rows, stack) if callbacks else ()),
                *([_checker(check)] if check else ()),
            ],
            shuffle=False,
            verbose=0,
        )
    found = stack()
    # The loss is that before the last step.
    finite = all(np.isfinite(found.predict(head, x[:_FEW])).all() for head in range(number))
    return found, Training(
        watcher.looks * per_look,
        diverged=watcher.diverged or not finite,
        streamed=not isinstance(x, np.ndarray),
    )


def _between_classes(x: Vectors, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the mean of the classes' means, float32, [width].

    The mean of all photos lies among those of a common class, which a head that starts from zero
    would then be unsure of. Only its bias could tell, and with more features than photos it hardly
    learns: each photo is told by features of its own.

    Args:
        x: bottlenecks, float32, [photos, width].
        y: class indices, int, [photos]; or whether each photo has each class, [photos, classes].
        rows: positions of the photos that count, int, [rows].
    """
    several = y.ndim == 2
    classes = y.shape[1] if several else int(y[rows].max(initial=0)) + 1
    sums, total = np.zeros((classes, x.shape[1])), np.zeros(x.shape[1])
    counts = np.zeros(classes, np.int64)
    for places, block in blocks_of(x, rows):
        own = y[rows[places]]
        total += block.sum(axis=0, dtype=np.float64)
        if several:
            counts += (own > 0.5).sum(axis=0)
            sums += (own > 0.5).T.astype(np.float64) @ block.astype(np.float64)
            continue
        order = np.argsort(own, kind="stable")
        found, starts, numbers = np.unique(own[order], return_index=True, return_counts=True)
        sums[found] += np.add.reduceat(block[order], starts, axis=0, dtype=np.float64)
        counts[found] += numbers
    if not several:
        return np.mean(sums[counts > 0] / counts[counts > 0, None], axis=0).astype(np.float32)
    # Of each class the middle between the photos that have it and those that have not.
    share = y[rows].sum(axis=0)
    told = (share > 0) & (share < len(rows))
    has, hasnt = told & (counts > 0), told & (counts < len(rows))
    means = [
        sums[has] / counts[has, None],
        (total - sums[hasnt]) / (len(rows) - counts[hasnt, None]),
        [] if told.any() else [total / len(rows)],
    ]
    return np.mean([one for part in means for one in part], axis=0).astype(np.float32)


def _looks(steps: int) -> int:
    """Returns into how many equal parts steps are best divided, so that few of them remain."""
    if steps <= LOOKS:
        return steps
    return min(range(LOOKS, LOOKS // 2, -1), key=lambda looks: steps % looks)


def _stacked(width: int, plan: HeadPlan, scale: FeatureScale, shares: np.ndarray) -> "keras.Model":
    """Returns the heads as one model, from bottlenecks to logits, [batch, heads, classes].

    Each head begins with the classes' shares. From equal ones, hidden units would learn first that
    a common class is likely, and none would ever be active for a rare one.
    """
    import keras

    classes, number = shares.shape
    biases = np.log(np.maximum(shares, 1e-7)).T.astype(np.float32)
    if plan.multi_label:
        inside = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
        biases = np.log(inside / (1 - inside)).T.astype(np.float32)

    def dropped(x: "keras.KerasTensor") -> "keras.KerasTensor":
        return keras.layers.Dropout(plan.dropout, seed=plan.seed)(x) if plan.dropout else x

    with float32_layers():
        bottleneck = keras.Input((width,), name="bottleneck")
        x = normalised(bottleneck, scale)
        if plan.hidden_units:
            units = plan.hidden_units
            hidden = keras.layers.Dense(number * units, "relu", name="hidden")
            x = keras.layers.Reshape((number, units))(hidden(x))
            first = keras.initializers.HeNormal(seed=plan.seed)((width, units))
            hidden.kernel.assign(np.tile(np.asarray(first), (1, number)))
            last = keras.layers.EinsumDense(
                "bhu,huc->bhc",
                (number, classes),
                bias_axes="hc",
                kernel_initializer="zeros",
                name="predictions",
            )
            x = last(dropped(x))
        else:
            last = keras.layers.Dense(
                number * classes, kernel_initializer="zeros", name="predictions"
            )
            x = last(dropped(x))
            x = keras.layers.Reshape((number, classes))(x)
        last.bias.assign(biases.reshape(last.bias.shape))
        return keras.Model(bottleneck, x, name="heads")


def _unstacked(model: "keras.Model", number: int, plan: HeadPlan, scale: FeatureScale) -> HeadStack:
    kernels, biases = [], []
    for name in ["hidden", "predictions"] if plan.hidden_units else ["predictions"]:
        kernel, bias = model.get_layer(name).get_weights()
        if kernel.ndim == 3:  # EinsumDense has the heads first
            kernel = kernel.transpose(1, 0, 2)
        kernels.append(kernel.reshape(kernel.shape[0], number, -1))
        biases.append(bias.reshape(number, -1))
    return HeadStack(plan, scale, tuple(kernels), tuple(biases))


def _checker(check: Callable[[], None]) -> "keras.callbacks.Callback":
    import keras

    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: check())


def _watcher(
    number: int,
    stack: Callable[[], HeadStack],
    validation: Callable[[HeadStack], tuple[np.ndarray, np.ndarray]] | None,
) -> Any:
    """Returns a callback that says, per head, how the training goes, and ends one that diverged."""
    import keras

    class Watcher(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.looks = 0
            self.diverged = False

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.looks = epoch + 1
            logs = {} if logs is None else logs
            logs["loss"] = logs.get("loss", math.nan) / number
            if validation is None or self.diverged:
                return
            probabilities, y = validation(stack())
            if len(y):
                logs["val_loss"] = cross_entropy(probabilities, y)
                logs.update(judged_logs(probabilities, y))

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if not math.isfinite((logs or {}).get("loss", 0.0)):
                self.diverged = self.model.stop_training = True

    return Watcher()
