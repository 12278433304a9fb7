"""Each hook into scikit-learn still does what we use it for."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from analytics_assets.compat.sklearn import boosted_trees

NODE = {
    "is_leaf",
    "value",
    "left",
    "right",
    "feature_idx",
    "num_threshold",
    "missing_go_to_left",
    "is_categorical",
}


def test_boosted_trees() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((200, 2))
    classifier = HistGradientBoostingClassifier(max_iter=3).fit(x, x[:, 0] > x[:, 1])
    trees = boosted_trees(classifier)
    assert [len(of_iteration) for of_iteration in trees] == [1, 1, 1]
    for (tree,) in trees:
        assert set(tree.nodes.dtype.names) >= NODE
        assert tree.get_n_leaf_nodes() == tree.nodes["is_leaf"].sum() > 1
