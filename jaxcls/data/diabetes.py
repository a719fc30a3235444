"""The diabetes table that scikit-learn ships, in the units that were measured."""

from pathlib import Path
from typing import Any, cast

import numpy as np

from jaxcls.data.table_columns import Column
from jaxcls.data.table_files import Table

TARGET = "progression"


def diabetes_table() -> Table:
    """442 patients: ten columns measured at the start, and how far the disease was a year later.

    Source: B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least Angle Regression", 2004; the
    target `progression` is their quantitative measure, of no unit, from 25 to 346.

    >>> table = diabetes_table()
    >>> table.num_rows, len(table.columns)
    (442, 11)
    """
    from sklearn.datasets import load_diabetes

    found = cast(Any, load_diabetes(scaled=False))
    columns = {
        name: Column(np.array(values, np.float64))
        for name, values in zip(found.feature_names, found.data.T, strict=True)
    }
    columns[TARGET] = Column(np.array(found.target, np.float64))
    return Table(Path("diabetes"), columns, len(found.target))
