"""Which images are fit to be trained on: those that the model is sure enough of."""


def unfit(p_yes, unparsed, min_margin):
    """Why an image is unfit, or None. The same cause has the same words: the host counts them."""
    if unparsed:
        return "unparsed"
    if abs(p_yes - 0.5) < min_margin:
        return "undecided"
    return None
