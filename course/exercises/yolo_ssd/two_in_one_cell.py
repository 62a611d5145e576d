"""A question in words, with numbers: three objects, one cell."""

from course.exercises.exercise import Question

TWO_IN_ONE_CELL = Question(
    name="two_in_one_cell",
    prompt="""
A picture of 448 × 448 pixels goes through YOLO: 7 × 7 cells, 2 boxes each, 20 classes. In it are two sparrows of 36 × 36 pixels, with their
centres at (200, 200) and (240, 216), and behind them lies a cat of 320 × 200 pixels, with its centre at (210, 230). In the list of objects
they stand in this order.

Which cells are the three in, and what is the network told? Could it not find them all the same, with two boxes and twenty classes a cell?
What would a grid of 14 × 14 change, and what would it cost? The same picture, scaled to 300 × 300, goes through SSD, whose 8,732 default
boxes stand on six maps, the smallest ones, 30 × 30, on the finest of 38 × 38 places: why has it room for all three? And what of a sparrow
of 8 × 8 pixels? **Six sentences.**
""".strip(),
    good_answer="""
A good answer says that a place in YOLO is a cell, and that a place in SSD is a cell, a size and a shape.

- **Cells**: a cell is 448 / 7 = 64 pixels wide. 200, 240 and 210 divided by 64 are 3.1, 3.8 and 3.3; 200, 216 and 230 are 3.1, 3.4 and 3.6:
  all three are in row 3, column 3. The network is told of the first sparrow. The other one and the cat are not in the target.
- **Two boxes** are two tries at *one* object: in training only one of them is responsible. And the cell has one row of class probabilities
  for both: where sparrow and cat share it, a box with confidence 1 has at most one half for each. Of two sparrows the second box might fit
  the other one by luck, but it has been told that its confidence is 0 there.
- **14 × 14**: with cells of 32 pixels they are in (6, 6), (6, 7) and (7, 6), row first, and all three are told. That is 14 · 14 · 30 =
  5,880 numbers in place of 1,470, and three positives among 196 cells; sparrows that sit closer still meet again.
- **SSD**: its default boxes are the places, and each has its own four numbers and its own classes. On the map of 38 × 38 the sparrows, now
  24 pixels wide, are at different places; their best boxes have an IoU of 0.59 and 0.65, and 4 and 8 boxes reach 0.5. The cat, 214 × 134,
  is the business of the coarser maps, where 14 boxes reach 0.5 with it, the best 0.79. No box has to serve two.
- **The small sparrow** is 5 pixels wide in SSD's picture. Its best IoU is 0.03, far from 0.5: it gets the box that fits it best, and that
  has to shrink to a sixth of its side. SSD needs a finer map for it, or a larger picture; so does YOLO.

"SSD has more boxes" is half an answer: they also have their own classes, and stand at several sizes over the same point.
""".strip(),
)
