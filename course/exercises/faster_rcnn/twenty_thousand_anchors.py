"""A question in words, with numbers: so many anchors, so few objects."""

from course.exercises.exercise import Question

TWENTY_THOUSAND_ANCHORS = Question(
    name="twenty_thousand_anchors",
    prompt="""
A picture is 1000 pixels wide and 600 high, and the map of a network with stride 16 has 62 × 37 places. At each stand 9 anchors: three
sizes, the smallest 128 × 128, and three ratios. There are three objects; 24 anchors reach an IoU of 0.7 with one of them, and 700 lie
between 0.3 and 0.7.

How many anchors are there? How often is a network right that calls every anchor background, counted over all that are not ignored? Then 256
are drawn, at most half of them positive: how many of each kind, and how much more does one positive count than in a mean over all? Later
the 6,000 best go into suppression, and 300 come out: what does the first cut save? And what becomes of a fourth object of 40 × 40 pixels?
**Six sentences.**
""".strip(),
    good_answer="""
A good answer counts, and sees that each of these rules is an answer to the numbers.

- **Anchors**: 62 × 37 × 9 = 20,646, for three objects.
- **All background**: 20,646 − 24 − 700 = 19,922 are negative. Calling all of them background is right for 19,922 of 19,946, 99.88 %: such a
  network has almost no loss and finds nothing.
- **Drawn**: all 24 positives and 232 negatives, not 128 and 128, for there are not so many positives. In the mean over 256 a positive
  counts 1/256 where it counted 1/19,946: 78 times as much. Positives are now 9 % of what is learned from, and no longer 0.12 %.
- **The first cut**: suppression compares up to 20,646 · 20,645 / 2 = 213 million pairs of boxes, among 6,000 up to 18 million, 12 times
  fewer. The 300 that come out are 1.5 % of the anchors, and 7 times fewer than the 2,000 of selective search.
- **The fourth object** lies wholly in an anchor of 128 × 128, and nothing fits better: its best IoU is 40² / 128² = 0.098, below 0.3.
  Without the rule that an object keeps its best anchors, every anchor on it would be told "background". With it, they answer for it, and
  their box has to shrink to a third, log(40 / 128) = −1.16. Smaller anchors, on a finer map, would serve it better.

"Sampling makes it half and half" is not an answer: at most half, and here it is far from it.
""".strip(),
)
