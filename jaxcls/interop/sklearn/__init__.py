"""scikit-learn's habits over jaxcls's training: estimators, and a search as one program.

Reached as `jaxcls.sklearn`, which alone imports scikit-learn.
"""

from jaxcls.interop.sklearn.classifier import MLPClassifier as MLPClassifier
from jaxcls.interop.sklearn.regressor import MLPRegressor as MLPRegressor
from jaxcls.interop.sklearn.search import search as search
