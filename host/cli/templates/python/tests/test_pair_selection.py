import unittest
from types import SimpleNamespace

from decisions.pair_selection import best, best_and_worst


def image(index, p_yes, accepted):
    return SimpleNamespace(index=index, p_yes=p_yes, accepted=accepted)


class PairSelection(unittest.TestCase):
    def test_the_best_is_set_against_the_worst(self):
        images = [
            image(0, 0.7, True),
            image(2, 0.9, True),
            image(3, 0.4, False),
            image(5, 0.2, False),
            image(6, 0.5, None),
        ]
        self.assertIs(best(images), images[1])
        self.assertEqual(best_and_worst(images, 0.2), (images[1], images[3]))
        self.assertIsNone(best_and_worst(images, 0.8))
        self.assertIsNone(best_and_worst(images[:2], 0.2), "none is rejected")
        self.assertIsNone(best(images[2:]), "none is accepted")
