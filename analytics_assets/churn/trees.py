"""Boosted trees in a form in which one column's value can be replaced quickly.

Belongs here: what reasons need of a fitted `HistGradientBoostingClassifier`. Does not belong here:
fitting and predicting, which scikit-learn does.

Each tree has bit masks with a bit for each leaf. The mask of a column's value clears the leaves
that the value rules out; the bit that is left by the masks of all columns is the row's leaf. So a
replaced value costs a look-up in the trees that use its column; scikit-learn would walk all trees.

After Lucchese et al. (2015): QuickScorer, a Fast Algorithm to Rank Documents with Additive
Ensembles of Regression Trees, SIGIR.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from analytics_assets.compat.sklearn import boosted_trees

MAX_LEAVES = 16
CHUNK_ROWS = 8192  # so many fit into a core's cache

Masks = NDArray[np.uint16]
Floats = NDArray[np.float64]


def can_build_trees(classifier: Any) -> bool:
    """Whether `Trees` can represent a fitted classifier: trees of few leaves, on numbers only."""
    return isinstance(classifier, HistGradientBoostingClassifier) and all(
        len(trees) == 1 and trees[0].get_n_leaf_nodes() <= MAX_LEAVES and not categories(trees[0])
        for trees in boosted_trees(classifier)
    )


def categories(tree: Any) -> bool:
    """Whether a tree splits by categories."""
    return bool(tree.nodes["is_categorical"].any())


class Trees:
    """The trees of a classifier of two classes for which `can_build_trees` is true."""

    def __init__(self, classifier: HistGradientBoostingClassifier) -> None:
        nodes = [trees[0].nodes for trees in boosted_trees(classifier)]
        splits = np.concatenate([of_tree[of_tree["is_leaf"] == 0] for of_tree in nodes])
        # All thresholds of a column: no tree distinguishes values between two of them.
        self._edges: dict[int, Floats] = {
            int(column): np.unique(splits["num_threshold"][splits["feature_idx"] == column])
            for column in np.unique(splits["feature_idx"])
        }
        self._trees = [self._masks_and_values(of_tree) for of_tree in nodes]

    def changes(self, x: Floats, others: Mapping[int, float]) -> Floats:
        """Compute how the raw score (log-odds) of each row changes with another value of a column.

        Args:
            x: values of the columns, NaN where missing, shape (n, columns).
            others: the other value of each column to replace, one at a time, by its number.

        Returns:
            New score less the old one, shape (n, replaced columns).
        """
        chunks = [x[start : start + CHUNK_ROWS] for start in range(0, len(x), CHUNK_ROWS)]
        with ThreadPoolExecutor(cpu_count()) as pool:
            changes = list(pool.map(lambda chunk: self._changes(chunk, others), chunks))
        return np.concatenate([np.empty((0, len(others))), *changes])

    def _changes(self, x: Floats, others: Mapping[int, float]) -> Floats:
        bins = {column: self._bins(column, x[:, column]) for column in self._edges}
        other = {
            column: int(self._bins(column, np.array([value]))[0])
            for column, value in others.items()
            if column in self._edges
        }
        result = np.zeros((len(others), len(x)))
        for masks, values in self._trees:
            left = {column: table[bins[column]] for column, table in masks.items()}
            replaced = [column for column in masks if column in other]
            rest = _all(left[column] for column in masks if column not in other)
            here = values[rest & _all(left[column] for column in replaced)] if replaced else 0.0
            for number, column in enumerate(others):
                if column in replaced:
                    same = _all(left[name] for name in replaced if name != column)
                    there = rest & same & masks[column][other[column]]
                    result[number] += values[there] - here
        return result.T

    def _bins(self, column: int, values: Floats) -> NDArray[np.intp]:
        """The bin of each value, shape (n,); the last bin is for missing values."""
        edges = self._edges[column]
        bins = np.searchsorted(edges, values)  # a value that is a threshold goes left, as below it
        return np.where(np.isnan(values), len(edges) + 1, bins)

    def _masks_and_values(self, nodes: np.ndarray) -> tuple[dict[int, Masks], Floats]:
        """Masks of a tree by bin of each column, and the value of a leaf by its bit."""
        bits = np.cumsum(nodes["is_leaf"], dtype=int) - 1
        leaves: dict[int, int] = {}  # those under each node
        values = np.zeros(2**MAX_LEAVES)
        for number in range(len(nodes) - 1, -1, -1):  # children come after their parent
            node = nodes[number]
            if node["is_leaf"]:
                leaves[number] = 1 << int(bits[number])
                values[leaves[number]] = node["value"]
            else:
                leaves[number] = leaves[int(node["left"])] | leaves[int(node["right"])]
        masks: dict[int, Masks] = {}
        for node in nodes[nodes["is_leaf"] == 0]:
            column = int(node["feature_idx"])
            edges = self._edges[column]
            table = masks.setdefault(column, np.full(len(edges) + 2, leaves[0], np.uint16))
            goes_left = np.arange(len(edges) + 2) <= np.searchsorted(edges, node["num_threshold"])
            goes_left[-1] = node["missing_go_to_left"]
            ruled_out = np.where(goes_left, leaves[int(node["right"])], leaves[int(node["left"])])
            table &= ~ruled_out.astype(np.uint16)
        return masks, values


def _all(masks: Iterator[Masks]) -> Any:
    """The bits that are set in all masks; all bits where there are no masks."""
    bits: Any = np.uint16(2**MAX_LEAVES - 1)
    for mask in masks:
        bits = bits & mask
    return bits
