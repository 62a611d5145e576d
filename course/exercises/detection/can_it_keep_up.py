"""A question in words, with numbers: whether a sliding window keeps up with a camera."""

from course.exercises.exercise import Question

CAN_IT_KEEP_UP = Question(
    name="can_it_keep_up",
    prompt="""
A ship's camera looks for buoys, 10 pictures a second, 1920 × 1080 pixels each. A buoy is as high as it is wide, from 16 to 256 pixels. The
plan: square windows of 16, 32, 64, 128 and 256 pixels, each at a stride of a quarter of its side, and a network that takes 0.1
milliseconds for a crop in a large batch.

How many crops is that for one picture, and how long do they take? Which of the five sizes costs most, and what would a stride of half the
side change, in time and in how well the best window still fits? What does a method save that first proposes 2,000 boxes, and what must
hold for it to be of use? **Five sentences.**
""".strip(),
    good_answer="""
A good answer counts size by size, sees where the windows are, and says what a coarser grid costs in overlap.

- **The count.** (⌊(1080 − w) / s⌋ + 1) · (⌊(1920 − w) / s⌋ + 1) with s = w / 4 gives 127,359 + 31,284 + 7,488 + 1,710 + 351 = 168,192
  crops. At 0.1 milliseconds they take 16.8 seconds; the camera gives a tenth of a second. It is 168 times too slow.
- **Where they are.** Three quarters are windows of 16 pixels: halve the side and its stride, and there are four times as many. Who can do
  without the smallest buoys saves most.
- **Half the side.** 42,301 crops take 4.2 seconds, a quarter, and still 42 times too long. But a buoy may then lie a quarter of its side
  away from the nearest window, down and to the right: of 1 they share 0.75² = 0.5625, and the IoU is 0.5625 / (2 − 0.5625) = 0.39. At a
  quarter of the side it is at worst 0.62. (And a buoy between two sizes loses more in either.)
- **Proposals.** 2,000 crops take 0.2 seconds: 84 times fewer crops, five pictures a second. That is still half of what is needed; sharing
  the computation between crops has to bring the rest (lessons 07 and 08).
- **What must hold.** The proposals themselves must cost far less than the crops that they save, and nearly every buoy must be well covered
  by at least one of them. What is not proposed is never found, however good the network: measure that recall first, for small buoys
  above all.

"Proposals are faster" without a count, or without a word on what they may miss, is half an answer.
""".strip(),
)
