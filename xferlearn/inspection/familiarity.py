"""Recognises the familiarity of this package's models in a Keras file that states nothing."""

import itertools

from xferlearn.inspection.layers import Graph, reachable
from xferlearn.inspection.metadata import StatedFamiliarity
from xferlearn.model_folder import FAMILIARITY

# Layers that `training.familiar` makes, from the last one back, each taking the next alone.
_LAST = (FAMILIARITY, "familiarity_ramps", "familiarity_place", "familiarity_sum")
# What these depend on.
_FIRST = {"familiarity_unit": "UnitNormalization", "familiarity_similarity": "Dense"}


def own_familiarity(graph: Graph) -> StatedFamiliarity | None:
    """Returns the output that this package's own layers give, as in model.keras; None for none.

    An output of that name in a model of another maker may mean anything.
    """
    nodes = graph.nodes
    if FAMILIARITY not in graph.outputs or graph.output_names.get(FAMILIARITY) != FAMILIARITY:
        return None
    for name, before in itertools.pairwise(_LAST):
        if name not in nodes or nodes[name].inputs != (before,):
            return None
    reached = reachable(graph, [FAMILIARITY])
    if any(name not in reached or nodes[name].op != op for name, op in _FIRST.items()):
        return None
    return StatedFamiliarity(FAMILIARITY)
