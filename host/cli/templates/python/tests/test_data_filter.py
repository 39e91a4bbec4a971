import unittest

from decisions.data_filter import unfit


class DataFilter(unittest.TestCase):
    def test_only_what_the_model_is_sure_of_is_kept(self):
        self.assertIsNone(unfit(0.9, False, 0.25))
        self.assertIsNone(unfit(0.1, False, 0.25))
        self.assertIsNone(unfit(0.75, False, 0.25), "the margin itself is enough")
        self.assertEqual(unfit(0.6, False, 0.25), "undecided")
        self.assertEqual(unfit(0.9, True, 0.25), "unparsed")
