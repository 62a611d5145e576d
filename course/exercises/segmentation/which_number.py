"""Question: which number tells whether a segmentation is good."""

from course.exercises.exercise import Question

WHICH_NUMBER = Question(
    name="which_number",
    prompt="""
A model finds tumours of about 0.5% of a scan's pixels. Its pixel accuracy is 99.6%, the mean IoU of tumour and background is 0.65.
Is it a good model? Say what a model that never finds anything would get in both numbers, which number (or which further one) you would
report to the clinic, and why. **Three sentences.**
""".strip(),
    good_answer="""
A good answer computes the empty model's numbers and looks at the class that matters:

- **A model that finds nothing** has a pixel accuracy of 99.5%, and a mean IoU of (0.995 + 0) / 2 ≈ 0.50. So 99.6% is hardly better than
  nothing, and 0.65 is less than it looks: the background alone gives half of it.
- **The tumour's own IoU** is about 2 · 0.65 − 0.996 ≈ 0.30: less than a third of the pixels that either side marks are marked by both.
  That, one number a class, belongs in the report.
- **A further number** with a reason: recall of the tumour's pixels, or of whole tumours, because a missed one costs more than a false
  alarm; or a boundary measure, if somebody is going to cut along the outline.

"The accuracy is high, so it is good" misses the point; "accuracy is bad, use mIoU" without the empty model's numbers is half an answer.
""".strip(),
)
