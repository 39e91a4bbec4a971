"""The pair selection as the contract has it."""

from dataclasses import dataclass

from componentize_py_types import Err
from wit_world.exports import pair_selection
from wit_world.imports.types import Verdict

from decisions.pair_selection import best, best_and_worst
from parameters import number, number_of

ACCEPTED = {Verdict.ACCEPTED: True, Verdict.REJECTED: False, Verdict.UNPARSED: None}


def parameters():
    help = "Least difference in p-yes between the two images of a pair."
    return [number("min_gap", help, 0.2, 0.0, 1.0)]


class Settings:
    def __init__(self, settings):
        self.min_gap = number_of(settings, "min_gap")


@dataclass
class Image:
    index: int
    p_yes: float
    # None when the model's answer could not be read.
    accepted: bool | None


def images(group):
    return [Image(c.index, c.p_yes, ACCEPTED[c.verdict]) for c in group.candidates]


def target(group, images):
    chosen = best(images)
    if chosen is None:
        return None
    target = pair_selection.Target(group=group, candidate=chosen.index, weight=1.0, desirable=True)
    return pair_selection.Choice_Target(target)


def pair(group, images, min_gap):
    found = best_and_worst(images, min_gap)
    if found is None:
        return None
    chosen, rejected = found
    return pair_selection.Choice_Pair(
        pair_selection.Pair(
            group=group, chosen=chosen.index, rejected=rejected.index, weight=1.0
        )
    )


class PairSelection:
    def select(self, context, groups, objective):
        settings = Settings(context.settings)
        if objective.takes == "targets":
            choices = [target(n, images(group)) for n, group in enumerate(groups)]
        elif objective.takes == "pairs":
            choices = [pair(n, images(group), settings.min_gap) for n, group in enumerate(groups)]
        else:
            raise Err(
                f"the objective `{objective.name}` takes {objective.takes}; "
                "this strategy chooses targets or pairs"
            )
        return pair_selection.Answer(
            choices=[choice for choice in choices if choice is not None],
            # Whatever is to be remembered until the next round.
            state=context.state,
        )
