"""How far a model's confidence can be trusted: its calibration, and accept thresholds with a guarantee.

Uses only NumPy and SciPy. Training fits the first temperature and threshold, `digitmill calibrate` fits those
for an owner's digits, and `digitmill audit` checks whether the guarantee holds. Workers only load `scaling`,
which does not need SciPy.
"""

__all__ = [
    "audits",
    "calibration",
    "exact_bounds",
    "guarantee",
    "scaling",
]
