"""Labelling: photos through a model, as a stream, and the model as an object in Python."""

from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.labelling.answering import Answer, Answerer
from xferlearn.labelling.classifier import Classifier, load_classifier
from xferlearn.labelling.streaming import Labelled, Onlooker, label_photos

__all__ = [
    "Answer",
    "AnswerTable",
    "Answerer",
    "Classifier",
    "Labelled",
    "Onlooker",
    "label_photos",
    "load_classifier",
]
