"""The state of a fine-tuning on disk, from which a killed one continues."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.system.files import remove_stale, write_atomically
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras


class State:
    """The state of a fine-tuning, in one file that is whole or not there.

    Attributes:
        model: what is trained.
        keeper: the callback of `weights_keeper`, whose state is part of it.
        writable: False once writing has failed.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        model: "keras.Model",
        keeper: Any,
        on_warning: Callable[[str], None],
    ) -> None:
        """Keeps the arguments; neither reads nor writes.

        Args:
            path: the file.
            key: identifies the fine-tuning; a state with another key is ignored.
            model: built and compiled.
            keeper: the callback of `weights_keeper`.
            on_warning: called once when the file can't be written; training continues.
        """
        self._path, self._key, self.model, self.keeper = path, key, model, keeper
        self._on_error = on_warning
        self.writable = True

    def restore(self) -> int:
        """Loads the state that an earlier run left; returns the number of passes it had made.

        A damaged one is warned of and left out, before anything of it is taken over.
        """
        remove_stale(self._path.parent, self._path.name)
        try:
            # NumPy leaves a file open that it can't read; this one is closed here.
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                fields = json.loads(str(arrays["state"]))
                if fields["key"] != self._key:
                    return 0
                model, kept, optimizer = (
                    [arrays[f"{name}_{i}"] for i in range(fields[name])]
                    for name in ("model", "kept", "optimizer")
                )
            keeper, looks = self.keeper, int(fields["looks"])
            variables = self.model.optimizer.variables
            expected = self.model.get_weights()
            for values, places in ((model, expected), (kept, expected), (optimizer, variables)):
                if [np.shape(one) for one in values] != [tuple(one.shape) for one in places]:
                    raise ValueError("its weights are not those of this network")
        except FileNotFoundError:
            return 0
        except Exception as error:  # a damaged file raises dozens of types
            self._on_error(
                f"{self._path} is damaged ({one_line(error)}): the fine-tuning starts over."
            )
            return 0
        self.model.set_weights(model)
        for variable, value in zip(variables, optimizer, strict=True):
            variable.assign(value)
        keeper.looks, keeper.weights = looks, kept
        return looks

    def save(self) -> None:
        """Replaces the file with the current state."""
        groups = {
            "model": self.model.get_weights(),
            "kept": self.keeper.weights,
            "optimizer": [np.asarray(variable) for variable in self.model.optimizer.variables],
        }
        fields = {
            "key": self._key,
            "looks": self.keeper.looks,
            **{name: len(values) for name, values in groups.items()},
        }
        arrays = {
            f"{n}_{i}": value for n, values in groups.items() for i, value in enumerate(values)
        }
        state = np.array(json.dumps(fields))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, lambda file: np.savez(file, state=state, **arrays))
        except OSError as error:
            self.writable = False
            self._on_error(
                f"Can't write {self._path}: {one_line(error)}. An interrupted fine-tuning"
                " will start over."
            )

    def forget(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)

    def callback(self) -> "keras.callbacks.Callback":
        """Returns a callback that saves after every pass; list it after the keeper."""
        import keras

        class Saver(keras.callbacks.Callback):
            def __init__(self, state: State) -> None:
                super().__init__()
                self._state = state

            def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
                if self._state.writable and not self._state.keeper.diverged:
                    self._state.save()

        return Saver(self)
