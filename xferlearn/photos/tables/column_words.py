"""Words that people use in tables: names of columns, truth values, splits, and missing labels."""

import re
from collections.abc import Collection

from xferlearn.photos.photo import TEST, TRAIN, VALIDATION
from xferlearn.photos.split_names import splits_of_names

_NAMES = {
    "path": "path filepath file filename fname image imagepath imagefile imagefilename imagename"
    " img imgpath imgfile imgname imageid photo photopath photofile photoname picture id idcode"
    " name uri",
    "label": "label labels class classname classlabel classes category categoryname target"
    " diagnosis dx y species breed groundtruth gt labelname truth tag classid labelid categoryid",
    "split": "split set subset partition phase usage datasplit traintest isvalid isval"
    " isvalidation istest istrain istraining istrainingimage",
    "group": "group groupid patient patientid subject subjectid person personid session sessionid"
    " video videoid clip clipid plant plantid individual individualid animal animalid lesion"
    " lesionid specimen specimenid sequence sequenceid case caseid burst burstid track trackid",
    # Numbers of folds and rows say nothing of the photo's class.
    "other": "fold folds kfold foldid cvfold foldnumber index unnamed0 rowid",
}
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}
_YES_MEANS = {
    **dict.fromkeys(("isvalid", "isval", "isvalidation", "val", "validation"), VALIDATION),
    **dict.fromkeys(("istest", "test"), TEST),
    **dict.fromkeys(("istrain", "istraining", "istrainingimage", "train"), TRAIN),
}
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")
# What programs write where there is no label. "none" is none of them: it may be a class.
_NO_LABEL = ("", "nan", "na", "n/a", "#n/a", "<na>", "null")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def role_of(name: str) -> str | None:
    """Returns what a column of this name is mostly for: a role, "other" for none, or None."""
    return _ROLE_OF.get(_key(name))


def is_fold(name: str) -> bool:
    """Returns whether a column of this name has the folds of a cross-validation."""
    return "fold" in _key(name) and role_of(name) == "other"


def split_of_values(name: str, values: Collection[str]) -> dict[str, str | None]:
    """Returns which split each value of a column means, None where that is not known.

    A column of truth values such as `is_valid` says it by its name.
    """
    key = _key(name)
    if key in _YES_MEANS:
        yes = _YES_MEANS[key]
        no = TEST if yes == TRAIN else TRAIN
        truths: dict[str, str | None] = {
            value: yes if value.lower() in _YES else no for value in values
        }
        if all(value.lower() in (*_YES, *_NO) for value in truths):
            return truths
    meant = splits_of_names(values)
    return {value: meant.get(value) for value in values}


def is_yes(text: str | None) -> bool:
    """Returns whether a text says that something is so."""
    return text is not None and text.lower() in _YES


def no_label(text: str | None) -> bool:
    """Returns whether a text says that there is no label."""
    return text is None or text.lower() in _NO_LABEL
