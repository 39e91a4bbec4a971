"""The curriculum as the contract has it."""

from wit_world.exports import curriculum
# Not Python's own `random`, which knows nothing of the run's seed.
from wit_world.imports import random

from decisions.curriculum import choose, count
from parameters import number, number_of


def parameters():
    help = "The part that is drawn of the prompts that the run asks for."
    return [number("share", help, 1.0, 0.0, 1.0)]


class Settings:
    def __init__(self, settings):
        self.share = number_of(settings, "share")


class Curriculum:
    def plan(self, context, input):
        settings, defaults = Settings(context.settings), input.defaults
        wanted = count(
            defaults.prompts,
            len(input.prompts),
            defaults.images_per_prompt,
            input.bounds.max_images,
            settings.share,
        )
        chosen = choose([prompt.id for prompt in input.prompts], wanted, random.next)
        plan = curriculum.RoundPlan(
            draws=[
                curriculum.Draw(prompt=prompt, images=defaults.images_per_prompt, weight=1.0)
                for prompt in chosen
            ],
            replays=[],
            sampling=defaults.sampling,
            objective=defaults.objective,
            epochs=defaults.epochs,
            learning_rate_scale=1.0,
        )
        # `state` is whatever is to be remembered until the next round.
        return curriculum.Answer(decision=curriculum.Decision_Round(plan), state=context.state)
