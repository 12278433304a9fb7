"""Boosted trees in a form in which a column's value is exchanged without walking them again.

Here: what reasons need of a fitted `HistGradientBoostingClassifier`. Not here: its fit and its
probabilities, which stay scikit-learn's.

A tree is a word with a bit for each leaf. The value of a column clears the leaves that it rules
out, whatever the other columns say, and the bit that all columns leave over is the row's leaf. An
exchanged column costs a look-up in the trees that ask for it; scikit-learn walks all of them.

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
CHUNK_ROWS = 8192  # what they need fits into a core's cache

Words = NDArray[np.uint16]
Floats = NDArray[np.float64]


def has_words(classifier: Any) -> bool:
    """Whether `Trees` can be made of a fitted classifier: trees of few leaves, on plain numbers."""
    return isinstance(classifier, HistGradientBoostingClassifier) and all(
        len(trees) == 1 and trees[0].get_n_leaf_nodes() <= MAX_LEAVES and not categories(trees[0])
        for trees in boosted_trees(classifier)
    )


def categories(tree: Any) -> bool:
    """Whether a tree asks for categories."""
    return bool(tree.nodes["is_categorical"].any())


class Trees:
    """The trees of a classifier of two classes of which `has_words` holds."""

    def __init__(self, classifier: HistGradientBoostingClassifier) -> None:
        nodes = [trees[0].nodes for trees in boosted_trees(classifier)]
        asking = np.concatenate([of_tree[of_tree["is_leaf"] == 0] for of_tree in nodes])
        # All thresholds of a column: between two of them, no tree tells values apart.
        self._edges: dict[int, Floats] = {
            int(column): np.unique(asking["num_threshold"][asking["feature_idx"] == column])
            for column in np.unique(asking["feature_idx"])
        }
        made = [self._words_and_values(of_tree) for of_tree in nodes]
        self._words, self._values = [words for words, _ in made], [values for _, values in made]

    def changes(self, x: Floats, others: Mapping[int, float]) -> Floats:
        """How the raw score (log-odds) of each row changes when a column has another value.

        Args:
            x: Values of the columns, NaN where missing, shape (n, columns).
            others: The other value of each column to exchange, one at a time, by its number.

        Returns:
            New score less the old one, shape (n, exchanged columns).

        """
        chunks = [x[start : start + CHUNK_ROWS] for start in range(0, len(x), CHUNK_ROWS)]
        with ThreadPoolExecutor(cpu_count()) as pool:
            found = list(pool.map(lambda chunk: self._changes(chunk, others), chunks))
        return np.concatenate([np.empty((0, len(others))), *found])

    def _changes(self, x: Floats, others: Mapping[int, float]) -> Floats:
        bins = {column: self._bins(column, x[:, column]) for column in self._edges}
        other = {
            column: int(self._bins(column, np.array([value]))[0])
            for column, value in others.items()
            if column in self._edges
        }
        result = np.zeros((len(others), len(x)))
        for words, values in zip(self._words, self._values, strict=True):
            left = {column: table[bins[column]] for column, table in words.items()}
            exchanged = [column for column in words if column in other]
            rest = _all(left[column] for column in words if column not in other)
            here = values[rest & _all(left[column] for column in exchanged)] if exchanged else 0.0
            for number, column in enumerate(others):
                if column in exchanged:
                    same = _all(left[name] for name in exchanged if name != column)
                    there = rest & same & words[column][other[column]]
                    result[number] += values[there] - here
        return result.T

    def _bins(self, column: int, values: Floats) -> NDArray[np.intp]:
        """Between which thresholds values lie, shape (n,); the last number is a missing one."""
        edges = self._edges[column]
        bins = np.searchsorted(edges, values)  # a value that is a threshold goes left, as below it
        return np.where(np.isnan(values), len(edges) + 1, bins)

    def _words_and_values(self, nodes: np.ndarray) -> tuple[dict[int, Words], Floats]:
        """Of a tree: the leaves that each bin of each column leaves over, and values by word."""
        bits = np.cumsum(nodes["is_leaf"], dtype=int) - 1
        leaves: dict[int, int] = {}  # of the part of the tree under each node
        values = np.zeros(2**MAX_LEAVES)
        for number in range(len(nodes) - 1, -1, -1):  # children come after their parent
            node = nodes[number]
            if node["is_leaf"]:
                leaves[number] = 1 << int(bits[number])
                values[leaves[number]] = node["value"]
            else:
                leaves[number] = leaves[int(node["left"])] | leaves[int(node["right"])]
        words: dict[int, Words] = {}
        for node in nodes[nodes["is_leaf"] == 0]:
            column = int(node["feature_idx"])
            edges = self._edges[column]
            table = words.setdefault(column, np.full(len(edges) + 2, leaves[0], np.uint16))
            goes_left = np.arange(len(edges) + 2) <= np.searchsorted(edges, node["num_threshold"])
            goes_left[-1] = node["missing_go_to_left"]
            ruled_out = np.where(goes_left, leaves[int(node["right"])], leaves[int(node["left"])])
            table &= ~ruled_out.astype(np.uint16)
        return words, values


def _all(words: Iterator[Words]) -> Any:
    """What is left over by every one of some words; everything where there are none."""
    found: Any = np.uint16(2**MAX_LEAVES - 1)
    for word in words:
        found = found & word
    return found
