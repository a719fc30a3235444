"""`MLPClassifier` and `MLPRegressor`: jaxcls's training with scikit-learn's names.

A module of its own, so that `import jaxcls` does not import scikit-learn.
"""

from jaxcls.interop.sklearn import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
