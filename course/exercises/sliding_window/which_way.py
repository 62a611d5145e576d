"""A question in words: to slide, or to run convolutionally."""

from course.exercises.exercise import Question

WHICH_WAY = Question(
    name="which_way",
    prompt="""
A laboratory has a network that tells diseased tissue from healthy in patches of 224 × 224 pixels, padded with zeros like
EfficientNet-Lite0, and scans of 20,000 × 20,000 pixels. It wants a map of each scan. Choose between sliding the network at stride 32,
running it convolutionally over the whole scan, and something of your own. Say what your choice costs, in what way its map will differ
from the others', and what you would measure before a doctor sees it. **Four sentences.**
""".strip(),
    good_answer="""
A good answer counts, names the mechanism of the difference, and measures something that matters to the user.

- **The count.** At stride 32 there are 619 × 619 = 383,161 windows, and a pixel is seen by up to 7 × 7 = 49 of them. One pass does the work
  of the convolutions once: about 40 times less.
- **The difference.** Slid, every patch sees zeros beyond its border, as in training; in one pass a place sees its real neighbours. With
  padded layers the two maps disagree everywhere, because the receptive field is larger than the window. Probabilities shift more than the
  order of the classes does: a threshold that was tuned on patches is wrong for the other map.
- **The memory.** One pass over the whole scan does not fit: the first map alone, at half the resolution, has 3.2 billion numbers, 13 GB.
  One runs large tiles that overlap, and throws the margin of each away.
- **Something of one's own** that is good: tiles as above, and a few epochs of training on large crops, convolutionally, so that the network
  knows what lies beyond a patch (lesson 02); or valid convolutions from the start, which make both ways the same.
- **The measurement.** On scans that a pathologist has drawn on: the share of disease that is found at a fixed rate of false alarms, for
  both maps, each with a threshold of its own; and where they disagree, whether that is at the borders of tiles.

"It is faster" without a count, or "padding" without saying how one would notice, is half an answer.
""".strip(),
)
