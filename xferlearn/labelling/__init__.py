"""Labelling: photos through a model, as a stream, and the model as an object in Python."""

from xferlearn.labelling.classifier import Classifier, load_classifier
from xferlearn.labelling.streaming import Labelled, Onlooker, label_photos

__all__ = ["Classifier", "Labelled", "Onlooker", "label_photos", "load_classifier"]
