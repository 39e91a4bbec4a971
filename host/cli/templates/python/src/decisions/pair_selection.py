"""What to train on: the best image of a prompt, or the best against the worst."""


def best(images):
    """The accepted image with the highest p-yes; of equals the first; None without one."""
    accepted = [image for image in images if image.accepted is True]
    return max(accepted, key=lambda image: image.p_yes, default=None)


def best_and_worst(images, min_gap):
    """The best accepted image and the worst rejected one; None unless they differ enough."""
    rejected = [image for image in images if image.accepted is False]
    chosen, worst = best(images), min(rejected, key=lambda image: image.p_yes, default=None)
    if chosen is None or worst is None or chosen.p_yes - worst.p_yes < min_gap:
        return None
    return chosen, worst
