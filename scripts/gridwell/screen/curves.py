"""Dose-response curves: log-logistic fits that say when they know nothing.

The curve is ``f(dose) = end + (zero - end) * share(dose)``: `zero` is the response without the
agent, `end` that at an endless dose (`gridwell.screen.models`). Controls enter as dose 0 and so
inform `zero` alone. Candidates are a flat line and curves with 2 to 5 free parameters; which one
is taken is decided by the data (`gridwell.screen.choice`).
"""

from gridwell.screen.choice import CANDIDATES, MIN_LEVELS, MIN_POINTS, Choose
from gridwell.screen.counts import MIN_REPEATS, fit_counts
from gridwell.screen.curve import Curve
from gridwell.screen.squares import fit_curve

__all__ = [
    "CANDIDATES",
    "MIN_LEVELS",
    "MIN_POINTS",
    "MIN_REPEATS",
    "Choose",
    "Curve",
    "fit_counts",
    "fit_curve",
]
