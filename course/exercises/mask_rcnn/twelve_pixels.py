"""A question in words, with numbers: what rounding a box costs, and whom."""

from course.exercises.exercise import Question

TWELVE_PIXELS = Question(
    name="twelve_pixels",
    prompt="""
A region (100, 60, 324, 284) is read from a map of stride 16, for a mask of 28 × 28 cells, which comes from 14 × 14 bins. Which cells does
RoI pooling read, and how far do they reach beyond the region or fall short of it, in pixels, on each of the four sides? How many cells of
the mask is that? The classes and the boxes of lesson 08 came from the same rounding: why did nobody mind? Where does RoIAlign look
instead, and how wide are its bins? And the mask head says six masks, one for each class: what would go wrong if a softmax over the classes
chose for each pixel, and how much would the network lose if it said one mask only, whatever the class? **Eight sentences.**
""".strip(),
    good_answer="""
A good answer says that a class is a matter of the whole region, and a mask is a matter of where.

- **RoI pooling**: 100, 60, 324 and 284 divided by 16 are 6.25, 3.75, 20.25 and 17.75, so columns 6 to 20 and rows 4 to 18, 15 of each. They
  reach from 96 to 336 and from 64 to 304: 4 pixels too far on the left, 12 too far on the right, 4 too few at the top, 20 too far at the
  bottom. Then the bins are rounded, too.
- **In the mask** a cell is 224 / 28 = 8 pixels wide: the outline is off by half a cell to two and a half, and by another amount for every
  region, so that no training can take it back.
- **Classes and boxes**: a cat that is shifted by 12 pixels is a cat all the same; pooling exists to forget such shifts. The rounded region
  still has an IoU of 0.84 with the true one, and a box is right from 0.5 on. At higher thresholds it is felt: RoIAlign improves boxes, too.
- **RoIAlign** keeps 6.25 to 20.25 and 3.75 to 17.75 (half a cell less, if it is aligned): 14 cells, so each of the 14 bins is exactly 1
  cell wide, between cells, and its points are interpolated.
- **Softmax**: a pixel's probabilities would have to share a sum of 1, so *fish* and *car* compete for it, and a mask gets holes where
  another class is likelier, though the box has been classified already. With six sigmoids only the true class's mask is trained, and the
  class decides which one is read.
- **One mask for all classes** costs little: the paper measures 29.7 in place of 30.3 points of mask AP. It loses what is known of the shape
  of a class, as where two classes overlap in one box and the label says which of them is meant.

"RoIAlign is more exact" is half an answer: more exact by how much, and who needs it?
""".strip(),
)
