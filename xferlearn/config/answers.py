"""Settings of when a photo is labelled, and when it is left to a person."""

import dataclasses
from typing import Annotated

from xferlearn.config.base import Config, Setting
from xferlearn.config.presets import REJECT
from xferlearn.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerConfig(Config):
    """When a photo is labelled, and when it is left to a person."""

    reject: Annotated[
        float,
        Setting(
            "Photos whose familiarity is below this are `unknown`: of the photos that the model was"
            " made from, about this share would be. 0 labels all.",
            minimum=0,
            maximum=0.5,
            section="Answers",
            form="SHARE",
            common=True,
        ),
    ] = REJECT
    max_error: Annotated[
        float | None,
        Setting(
            "Label a photo only where the model is sure enough, so that at most this share of the"
            " labels is wrong, with 95% confidence, for photos like those it was made from; the"
            " others are left to a person (`ask`). E.g. 0.02.",
            above=0,
            maximum=0.5,
            section="Answers",
            form="SHARE",
            common=True,
        ),
    ] = None
    coverage: Annotated[
        float | None,
        Setting(
            "Also give each photo a set of labels, one where the model is sure, so that this share"
            " of the sets has the right one, for photos like those it was made from. E.g. 0.95.",
            minimum=0.5,
            maximum=0.999,
            section="Answers",
            form="SHARE",
            common=True,
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_error is not None and self.coverage is not None:
            raise UserError(
                "Expected either `max_error`, which gives one label or none, or `coverage`, which"
                " gives a set of labels. Received: both."
            )
