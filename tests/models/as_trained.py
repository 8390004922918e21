"""Networks with weights like those of trained ones, for tests of what becomes of them."""

import numpy as np

SOFTENING = 2e-12


def as_if_trained(model, seed):
    """Give each weight, those of normalisations too, a value that matters, always the same."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name == "kernel":  # Keras draws them from Python's global random state
            *fan_in, _ = weight.shape
            weight.assign(rng.normal(0, np.sqrt(2 / np.prod(fan_in)), weight.shape))
        elif weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias", "moving_mean"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
        elif weight.name == "softening":
            weight.assign(np.full(weight.shape, SOFTENING))
        elif weight.name == "centre":
            weight.assign(rng.normal(10, 1, weight.shape))
        elif weight.name == "width":
            weight.assign(rng.uniform(5, 9, weight.shape))
    return model
