"""What an audit finds: one suspicious photo, or class, at a time."""

import dataclasses

LABEL = "label error"
CONFLICT = "twins of several classes"
ACROSS = "twins across given splits"
TWINS = "twins"
OUTLIER = "unlike all others"
BLACK, WHITE, EMPTY, BLURRED, TINY, SHAPE = QUALITIES = (
    "black", "white", "nearly empty", "blurred", "tiny", "extreme shape",
)  # fmt: skip
# Of photos that can't be looked at, in files.
UNREADABLE = "not readable"
# Of photos; what is likely to matter most comes first.
KINDS = (LABEL, CONFLICT, ACROSS, OUTLIER, *QUALITIES, TWINS)
OVERLAP, FEW_GROUPS = "classes that overlap", "too few groups"
# Where photos may have several labels.
ALWAYS, NEVER, FEW_PHOTOS = SET_KINDS = (
    "classes always together", "classes never together", "too few photos",
)  # fmt: skip
CLASS_KINDS = (OVERLAP, *SET_KINDS, FEW_GROUPS)
# As headings say them.
PLURALS = {kind: kind for kind in (*KINDS, *CLASS_KINDS)} | {
    LABEL: "likely label errors",
    OUTLIER: "unlike all other photos",
    TWINS: "twins, kept in one fold",
    FEW_PHOTOS: "classes of too few photos",
    FEW_GROUPS: "classes of too few groups",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One suspicious photo.

    Attributes:
        kind: what is suspicious, one of `KINDS`.
        digest: SHA-256 of the photo's bytes, 32 bytes.
        name: the photo's name.
        label: the label that it has; where photos may have several, all of them, `cat|dog`.
        score: how much it is likely to matter, 0 to 1; within a kind the list falls by it. For
            label errors the estimated probability that the label is wrong.
        proposed: the label that fits better; None where none is proposed.
        others: digests of the photos that it is found with, such as its twins.
        text: why, one sentence for a person.
    """

    kind: str
    digest: bytes
    name: str
    label: str
    score: float
    proposed: str | None = None
    others: tuple[bytes, ...] = ()
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class ClassFinding:
    """Something suspicious about classes.

    Attributes:
        kind: one of `CLASS_KINDS`.
        labels: the classes, one or two.
        score: how much it is likely to matter, 0 to 1.
        text: why, one sentence for a person.
    """

    kind: str
    labels: tuple[str, ...]
    score: float
    text: str
