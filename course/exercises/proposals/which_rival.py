"""Question: what a recall of proposals is worth."""

from course.exercises.exercise import Question

WHICH_RIVAL = Question(
    name="which_rival",
    prompt="""
A company sells a proposal method for photographs of living rooms: "recall 0.92 at IoU 0.5". In the small print: 5,000 boxes a picture, 0.4
seconds. As many random boxes have a recall of 0.88 on the same pictures. With 500 boxes it is 0.84 against 0.55; at IoU 0.7 and 500 boxes,
0.61 against 0.15. Your classifier takes 10 milliseconds a box, and a picture may take 6 seconds.

Is 0.92 a good number? Which of the numbers would you decide by, and what is the best that your detector can then reach? **Four sentences.**
""".strip(),
    good_answer="""
A good answer sets the number beside the blind rival, and lets the time decide how many boxes there are.

- **0.92 says little**: random boxes, which never look at the picture, have 0.88 with as many. With thousands of boxes and an IoU of 0.5
  nearly everything that is large gets covered.
- **5,000 boxes cannot be paid for**: they take 5,000 × 10 ms = 50 seconds. Six seconds, less 0.4, are enough for 560 boxes, so the row of
  500 decides (5 + 0.4 = 5.4 seconds).
- **There the method is good**: 0.84 against 0.55. It is better still where boxes have to fit, 0.61 against 0.15 at IoU 0.7.
- **The ceiling**: 16 objects of 100 are in no box with an IoU of 0.5, and no classifier can find them. So at most 0.84 of the objects can
  be found, unless boxes are moved afterwards (lesson 07), and which objects are missing is worth a look.

"0.92 is high, so it is good" misses the rival; "take all 5,000" misses the clock.
""".strip(),
)
