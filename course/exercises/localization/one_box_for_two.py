"""A question in words, with numbers: what one box says where there are two objects."""

from course.exercises.exercise import Question

ONE_BOX_FOR_TWO = Question(
    name="one_box_for_two",
    prompt="""
A localizer has learned, with the squared error, from pictures with one cup each. Now pictures with two cups come into its training set.
Their target is one of the two cups, drawn by chance. One such picture is 200 pixels wide: one cup reaches from x = 20 to 60, the other
from x = 140 to 180, and both from y = 40 to 100.

Which box makes the expected squared error of this picture least, and what is its IoU with each cup? What would the absolute error change?
What does the class say about all this, and what would you do instead? **Four or five sentences.**
""".strip(),
    good_answer="""
A good answer computes the box, sees that it is on neither cup, and says that no choice of loss mends a question that has one answer too
few.

- **The box.** Of a number that is a or b with equal chance the mean (a + b) / 2 has the least expected squared error. The centres are at
  x = 40 and x = 160, so the box is centred at x = 100, as wide and high as a cup: 80 to 120, 40 to 100.
- **Its IoU is 0 with both.** It ends 20 pixels before the second cup begins and begins 20 pixels after the first has ended: it shows the
  table between them.
- **The absolute error** is the same for every centre between 40 and 160, for what comes closer to one cup goes as far from the other. So
  it allows a box on a cup, but nothing leads there; with a third cup it would choose the one in the middle.
- **The class** is right, and sure: both answers say "cup". Its score says nothing about the box, so nobody is warned.
- **Instead**: let the network give several boxes (lesson 05), or look at parts of the picture one by one, where there is one cup at a time
  (lesson 07). Always taking the left cup as the target is an answer, too, but the network then has to know that there are two.

"It will find one of them" is not an answer: with the squared error it is paid for finding neither.
""".strip(),
)
