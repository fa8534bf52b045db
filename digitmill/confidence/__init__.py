"""What a model's confidence is worth: its calibration, and the accept threshold that keeps a promise.

NumPy and SciPy only, for both jobs: training fits the first temperature and threshold, `digitmill calibrate`
those for an owner's digits, and `digitmill audit` asks whether the promise was kept. Workers load `scaling`
alone, which needs no SciPy.
"""

__all__ = [
    "audits",
    "calibration",
    "exact_bounds",
    "guarantee",
    "scaling",
]
