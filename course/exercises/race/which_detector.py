"""A question in words, with numbers: which detector for which task."""

from course.exercises.exercise import Question

WHICH_DETECTOR = Question(
    name="which_detector",
    prompt="""
Five detectors were measured on one and the same quiet core, on the same hundred pictures:

| | A | B | C | D | E |
|---|---|---|---|---|---|
| milliseconds a picture | 9 | 10 | 17 | 77 | 287 |
| mAP at 0.5 | 0.93 | 0.95 | 0.96 | 0.90 | 0.83 |
| mAP, IoU 0.5 to 0.95 | 0.59 | 0.66 | 0.71 | 0.57 | 0.62 |

Who is beaten by nobody, by each of the two scores? Is E worse than D? Three people ask you for a detector: one counts fish from 60
pictures a second on this core; one measures how long the fish are, on 10,000 pictures that may take a night; one wants to know what share
of each picture is fish. What do you tell each of them? And a colleague says that A and B differ by two hundredths, "so B is better": what
would you ask? **Six sentences.**
""".strip(),
    good_answer="""
A good answer reads the table by what is needed, and not by its largest number.

- **The front** is A, B and C by either score: from A to C each costs more and scores more. D and E are slower than all three, and score
  less.
- **E and D** are another matter among themselves: at IoU 0.5 D is better (0.90 against 0.83), over all thresholds E is (0.62 against
  0.57). So E finds less and lies closer where it finds; D beats it at 0.5, for it is faster, too, and by the other score neither beats the
  other.
- **60 pictures a second** leave 1000 / 60 = 16.7 milliseconds a picture. A and B keep up with 9 and 10; C, with 17, falls behind by a
  little, and a little is enough for a queue that only grows. For counting it matters that a fish is found, so look at mAP at 0.5: B, if the
  7 milliseconds that are left suffice for everything else.
- **Lengths** depend on where a box ends, so the second score counts: C. 10,000 pictures at 17 milliseconds are 170 seconds; even E would
  take 48 minutes. Time is no argument here. But a box is as long as the fish only if the fish lies level.
- **What share of the picture** is a question about pixels: none of the five. A fully convolutional network answers it (lesson 02); two
  fish that touch need not be told apart. For an outline of each fish it would be Mask R-CNN (lesson 11).
- **Two hundredths** on a hundred pictures: how far would the numbers move with a hundred other pictures, or with another seed of the
  training? Until that is known it may be chance. Ask for more pictures, or for several seeds, and ask whether both learnt from as many.

"C is the best" is half an answer: best at what, and in which time?
""".strip(),
)
