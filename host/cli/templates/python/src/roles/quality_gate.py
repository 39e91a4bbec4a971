"""The quality gate as the contract has it."""

from wit_world.exports import quality_gate

from decisions.quality_gate import fell
from parameters import number, number_of

# The figure that decides.
METRIC = "understanding_accuracy"


def parameters():
    help = "How far the intervals must lie apart before a round is rolled back."
    return [number("tolerance", help, 0.0, 0.0, 1.0)]


class Settings:
    def __init__(self, settings):
        self.tolerance = number_of(settings, "tolerance")


def interval(metrics):
    for metric in metrics:
        if metric.name == METRIC:
            return metric.low, metric.high
    return None


class QualityGate:
    def decide(self, context, input):
        settings = Settings(context.settings)
        before, after = interval(input.before), interval(input.after)
        if before is None or after is None:
            decision = quality_gate.Decision_Keep(f"{METRIC} is not known")
        elif fell(before, after, settings.tolerance):
            decision = quality_gate.Decision_RollBack(f"{METRIC} fell")
        else:
            decision = quality_gate.Decision_Keep(f"{METRIC} did not fall")
        # `state` is whatever is to be remembered until the next round.
        return quality_gate.Answer(decision=decision, state=context.state)
