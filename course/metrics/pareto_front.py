"""Who is beaten by nobody, when two things count at once: what something costs, and how good it is.

V. Pareto, "Manuale di economia politica", 1906.

Shape letters: N rivals.
"""

from torch import Tensor


def pareto_front(costs: Tensor, scores: Tensor) -> Tensor:
    """Of each rival whether no other beats it.

    One rival beats another if it costs no more and scores no less, and is better in at least one of the two. Rivals that are equal in both
    do not beat one another. NaN beats nobody, and is beaten by nobody.

    Args:
        costs: `[N]`, less is better: seconds a picture, for instance.
        scores: `[N]`, more is better: mAP, for instance.

    Returns: bool `[N]`. Raises: ValueError if the two are not rows of the same length.
    """
    if costs.dim() != 1 or costs.shape != scores.shape:
        raise ValueError(f"A cost and a score for each rival are needed, [N] both; got {list(costs.shape)} and {list(scores.shape)}.")
    no_worse = (costs[:, None] <= costs) & (scores[:, None] >= scores)  # [N, N]: row by row, is it no worse than the column's?
    better = (costs[:, None] < costs) | (scores[:, None] > scores)  # [N, N]
    return ~(no_worse & better).any(0)  # [N]
