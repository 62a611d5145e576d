"""A question in words: where R-CNN's time and disk go, and what SPP-net leaves."""

from course.exercises.exercise import Question

WHAT_TO_KEEP = Question(
    name="what_to_keep",
    prompt="""
A museum wants to find objects in its 20,000 scanned photographs. Its R-CNN takes 2 seconds for the proposals of a photograph, 2,000 of
them; 5 milliseconds for the network on each warped proposal, features of 4,096 numbers in float32; 0.1 second for SVMs, box regression
and NMS. SPP-net on the same machine runs the convolutions once, in 0.2 seconds, and pools and classifies all proposals in 0.5 seconds. A
curator suggests to keep all features on disk, "then trying another SVM is free".

How long does a photograph take with either, and all of them? What takes the time afterwards? How large is the disk? And what can neither of
the two still do, however long one waits? **Five sentences.**
""".strip(),
    good_answer="""
A good answer multiplies, says what has become the slowest part, and sees that training comes in pieces.

- **R-CNN**: 2 + 2,000 × 0.005 + 0.1 = 12.1 seconds a photograph, 67 hours for all. Five sixths of it is the network, which sees every pixel
  again in each proposal that covers it.
- **SPP-net**: 2 + 0.2 + 0.5 = 2.7 seconds, 15 hours. That is 4.5 times as fast, not the 14 times by which the part behind the proposals
  got faster (10.1 seconds against 0.7): the **proposals** now take three quarters of the time. Whoever wants more has to begin there.
- **The disk**: 20,000 × 2,000 × 4,096 × 4 bytes = 655 GB. It can be done, but reading it at 500 MB a second takes 22 minutes, each time;
  and it is good only until the network changes. Half precision halves it. To train an SVM one needs only the true boxes and the hard
  negatives.
- **What neither can**: learn from its mistakes. Features are written before SVM and regression are trained, so no error of theirs
  reaches the convolutions; three objectives are trained one after the other. In SPP-net the convolutions stay as they came, because a
  gradient through its pooling was not to be had at a bearable price. That is where Fast R-CNN begins.

"SPP-net is faster" without the time of the proposals is half an answer: it is they that hold the time from there on.
""".strip(),
)
