"""What other tools call settings, where it is not quite the same: said in the error, never taken.

Names that mean the same are `aliases` of their `Setting`.
"""

import types
from collections.abc import Mapping

# A command says it only where it has a setting that the sentence names.
HINTS: Mapping[str, str] = types.MappingProxyType(
    {
        "classes": "The names of the sub-folders of `image_dir` are the classes.",
        "conf": "`max_error` bounds the share of wrong labels.",
        "confidence": "`max_error` bounds the share of wrong labels.",
        "epochs": "`how_many_training_steps` counts batches, not passes over the photos; the passes"
        " of fine-tuning are `fine_tune_epochs`.",
        "freeze": "The backbone is frozen; `unfreeze` trains layers of it too.",
        "gpu": "`device='gpu'` computes on it.",
        "model": "The pretrained network is `backbone`, the folder of the new model `model_dir`.",
        "name": "The new model goes to `model_dir`.",
        "num_classes": "The sub-folders of `image_dir` are the classes.",
        "out": "The new model goes to `model_dir`.",
        "output": "The new model goes to `model_dir`; `export` makes files of it.",
        "output_dir": "The new model goes to `model_dir`.",
        "output_graph": "The new model goes to `model_dir`; `export` makes files of it.",
        "output_labels": "labels.txt in `model_dir` has them.",
        "pretrained": "The weights of the backbone are `weights`.",
        "project": "The new model goes to `model_dir`.",
        "random_state": "`seed` is of the training, `split_seed` of the split.",
        "save_dir": "The new model goes to `model_dir`.",
        "saved_model_dir": "The new model goes to `model_dir`; `export` makes files of it.",
        "test_split": "`test_size` is the test's share of all photos.",
        "tfhub_module": "The pretrained network is `backbone`, by its name.",
        "threshold": "`min_recall`, `min_precision` and `cost` choose thresholds; `max_error`"
        " leaves unsure photos to a person.",
        "val_split": "`validation_size` is its share of all photos.",
        "validation_split": "`validation_size` is its share of all photos.",
        "wd": "`weight_decay` adds to the loss; other tools shrink the weights instead.",
    }
)
