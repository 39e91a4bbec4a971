import unittest

from decisions.quality_gate import fell


class QualityGate(unittest.TestCase):
    def test_only_what_lies_below_has_fallen(self):
        before = (0.5, 0.75)
        self.assertTrue(fell(before, (0.25, 0.375), 0.0))
        self.assertFalse(fell(before, (0.25, 0.5), 0.0), "they touch")
        self.assertFalse(fell(before, (0.75, 1.0), 0.0))
        self.assertFalse(fell(before, (0.25, 0.375), 0.25))
