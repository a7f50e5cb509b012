"""Labelling: photos through a model, as a stream, and the model as an object in Python."""

from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.labelling.answering import Answer, Answerer
from xferlearn.labelling.blocks import (
    Labeller,
    labelled_in,
    open_there,
    working_on,
)
from xferlearn.labelling.classifier import Classifier, load_classifier
from xferlearn.labelling.explanation import Explanation, Neighbour
from xferlearn.labelling.made_by import made_by, model_digest
from xferlearn.labelling.parts import PartFolder, plan_parts
from xferlearn.labelling.streaming import Labelled, Onlooker, label_photos
from xferlearn.labelling.why_page import WhyPage, checked_folder

__all__ = [
    "Answer",
    "AnswerTable",
    "Answerer",
    "Classifier",
    "Explanation",
    "Labelled",
    "Labeller",
    "Neighbour",
    "Onlooker",
    "PartFolder",
    "WhyPage",
    "checked_folder",
    "label_photos",
    "labelled_in",
    "load_classifier",
    "made_by",
    "model_digest",
    "open_there",
    "plan_parts",
    "working_on",
]
