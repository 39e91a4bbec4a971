"""Whether a finished round is kept: not when the model has surely got worse at understanding."""


def fell(before, after, tolerance):
    """Whether all of the 95 % interval after lies below the one before; each is (low, high)."""
    return after[1] + tolerance < before[0]
