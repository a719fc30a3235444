"""Learning-rate schedules of unit height, by name, which `train_epochs` multiplies by the rate."""

from typing import Literal

import optax

ScheduleName = Literal["constant", "cosine", "warmup_cosine", "step"]


def unit_schedule(name: str, num_steps: int) -> optax.Schedule:
    """The share of the learning rate that each of `num_steps` steps takes.

    `constant` is 1. `cosine` falls from 1 to 0 along half a cosine (I. Loshchilov and F. Hutter,
    2017). `warmup_cosine` rises from 0 to 1 in the first tenth of the steps and then falls so.
    `step` is 1, from half of the steps on 0.1, from three quarters on 0.01 (K. He et al., 2016,
    section 4.2).

    Args:
        name: one of `ScheduleName`.
        num_steps: of the whole run; static, so that only the rate is traced.

    Returns:
        A function of the step [], from 0 on.

    >>> round(float(unit_schedule("step", 100)(80)), 6)
    0.01
    """
    # A run of one step would not move at all with a warm-up from 0.
    warmup = max(1, num_steps // 10) if num_steps > 1 else 0
    makers = {
        "constant": lambda: optax.constant_schedule(1.0),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, num_steps),
        "warmup_cosine": lambda: optax.warmup_cosine_decay_schedule(
            0.0, 1.0, warmup, num_steps
        ),
        "step": lambda: optax.piecewise_constant_schedule(
            1.0, {-(-num_steps // 2): 0.1, -(-num_steps * 3 // 4): 0.1}
        ),
    }
    return makers[name]()
