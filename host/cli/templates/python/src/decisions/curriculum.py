"""Which prompts a round draws: some of them, each as likely as another."""


def count(asked, prompts, images, max_images, share):
    """How many to draw: what the run asks for, within what there is and what may be drawn."""
    wanted = max(1, round(asked * share))
    return min(wanted, max_images // max(1, images), prompts)


def choose(pool, count, random):
    """`count` of `pool`, each as likely as another. `random()` gives 64 uniform bits."""
    pool = list(pool)
    for position in range(count):
        other = position + (random() * (len(pool) - position) >> 64)
        pool[position], pool[other] = pool[other], pool[position]
    return pool[:count]
