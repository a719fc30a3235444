"""One page, a file by itself, that tells anyone what was trained, how well it does, and by what.

It opens no connection: pictures and a network's weights are within it.
"""

from jaxcls.report.networks import Network as Network
from jaxcls.report.networks import listed as listed
from jaxcls.report.networks import why_not as why_not
from jaxcls.report.page import Told as Told
from jaxcls.report.page import is_png as is_png
from jaxcls.report.page import page as page
