"""Names of WordNet's synsets, for labels such as n02084071."""

from xferlearn.backbones.synsets.names import imagenet_labels, readable_label, synset_name

__all__ = ["imagenet_labels", "readable_label", "synset_name"]
