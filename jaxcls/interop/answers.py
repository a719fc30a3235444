"""What a network's outputs stand for: classes, or a number; shared by what is written for others."""

from typing import NamedTuple

from jaxcls.config import Config
from jaxcls.likelihoods import LIKELIHOODS
from jaxcls.mlp import ActivationName
from jaxcls.regression import Target


class Classes(NamedTuple):
    """Classes that a network tells apart.

    Attributes:
        labels: K integers or K words, the answers.
        temperature: T of probabilities p ** (1 / T), divided by their sum, p being the network's,
            or the mean of several networks'.
        threshold: of two classes, the probability from which on the second is the answer; None
            takes the more likely one.
    """

    labels: tuple[int, ...] | tuple[str, ...]
    temperature: float = 1.0
    threshold: float | None = None


Answers = Classes | Target


def check_own(caller: str, config: Config, answers: Answers) -> ActivationName:
    """The activation's name.

    Raises:
        ValueError: a function is a user's own, or the likelihood is not one of such answers.
    """
    if callable(config.activation):
        raise ValueError(
            f"{caller}: the activation is a function of one's own, which no other library has; "
            "train with one of jaxcls's."
        )
    likelihood = config.likelihood
    if likelihood not in LIKELIHOODS.values():
        raise ValueError(
            f"{caller}: the likelihood {likelihood.name!r} is one's own, which no other library "
            "has; train with one of jaxcls's."
        )
    if likelihood.has_classes != isinstance(answers, Classes):
        raise ValueError(
            f"{caller}: {'Classes' if likelihood.has_classes else 'a Target'} must be given for "
            f"the likelihood {likelihood.name!r}, got {type(answers).__name__}."
        )
    return config.activation
