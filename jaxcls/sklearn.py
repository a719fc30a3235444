"""`MLPClassifier`, `MLPRegressor` and `search`: jaxcls's training with scikit-learn's names.

A module of its own, so that `import jaxcls` does not import scikit-learn.
"""

from jaxcls.interop.sklearn import MLPClassifier as MLPClassifier
from jaxcls.interop.sklearn import MLPRegressor as MLPRegressor
from jaxcls.interop.sklearn import search as search
