"""Data: named datasets, a user's arrays and tables, classes and scaling."""

from jaxcls.data.dataset import Dataset as Dataset
from jaxcls.data.dataset import select_classes as select_classes
from jaxcls.data.dataset import split as split
from jaxcls.data.dataset import to_batch as to_batch
from jaxcls.data.images import read_image as read_image
from jaxcls.data.loading import DATASETS as DATASETS
from jaxcls.data.loading import data_folder as data_folder
from jaxcls.data.loading import load as load
from jaxcls.data.loading import load_mnist_or_digits as load_mnist_or_digits
from jaxcls.data.preparation import Preparation as Preparation
from jaxcls.data.splits import Splits as Splits
from jaxcls.data.splits import bootstrap as bootstrap
from jaxcls.data.splits import check_splits as check_splits
from jaxcls.data.splits import folds as folds
from jaxcls.data.splits import resplits as resplits
from jaxcls.data.standardization import Standardization as Standardization
from jaxcls.data.tables import Tabled as Tabled
from jaxcls.data.tables import load_table as load_table
