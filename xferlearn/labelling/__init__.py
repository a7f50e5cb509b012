"""Labelling: photos through a model, as a stream, and the model as an object in Python."""

from xferlearn.labelling.answer_table import AnswerTable
from xferlearn.labelling.answering import Answer, Answerer
from xferlearn.labelling.classifier import Classifier, load_classifier
from xferlearn.labelling.explanation import Explanation, Neighbour
from xferlearn.labelling.streaming import Labelled, Onlooker, label_photos
from xferlearn.labelling.why_page import WhyPage, checked_folder

__all__ = [
    "Answer",
    "AnswerTable",
    "Answerer",
    "Classifier",
    "Explanation",
    "Labelled",
    "Neighbour",
    "Onlooker",
    "WhyPage",
    "checked_folder",
    "label_photos",
    "load_classifier",
]
