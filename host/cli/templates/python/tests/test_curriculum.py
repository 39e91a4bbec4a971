import unittest
from random import Random

from decisions.curriculum import choose, count


class Curriculum(unittest.TestCase):
    def test_as_many_are_drawn_as_there_is_room_for(self):
        self.assertEqual(count(10, 100, 4, 1000, 1.0), 10)
        self.assertEqual(count(10, 100, 4, 1000, 0.5), 5)
        self.assertEqual(count(10, 100, 4, 20, 1.0), 5, "20 images are 5 prompts")
        self.assertEqual(count(10, 3, 4, 1000, 1.0), 3, "there are 3 prompts")

    def test_no_prompt_is_chosen_twice(self):
        seeded = Random(1)
        chosen = choose(range(50), 20, lambda: seeded.getrandbits(64))
        self.assertEqual(len(set(chosen)), 20)
        self.assertTrue(set(chosen) <= set(range(50)))
