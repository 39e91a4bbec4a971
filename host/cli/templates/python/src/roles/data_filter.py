"""The data filter as the contract has it."""

from wit_world.exports import data_filter
from wit_world.imports.types import Verdict

from decisions.data_filter import unfit
from parameters import number, number_of


def parameters():
    return [number("min_margin", "How far from 0.5 an image's p-yes must lie.", 0.2, 0.0, 0.5)]


class Settings:
    def __init__(self, settings):
        self.min_margin = number_of(settings, "min_margin")


class DataFilter:
    def filter(self, context, groups):
        settings = Settings(context.settings)

        def decide(candidate):
            unparsed = candidate.verdict == Verdict.UNPARSED
            reason = unfit(candidate.p_yes, unparsed, settings.min_margin)
            return data_filter.Decision_Drop(reason) if reason else data_filter.Decision_Keep()

        return data_filter.Answer(
            decisions=[[decide(candidate) for candidate in group.candidates] for group in groups],
            # Whatever is to be remembered until the next round.
            state=context.state,
        )
