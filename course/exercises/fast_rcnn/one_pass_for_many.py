"""A question in words: what a step of training costs, drawn from many pictures or from few, and where detection spends its time."""

from course.exercises.exercise import Question

ONE_PASS_FOR_MANY = Question(
    name="one_pass_for_many",
    prompt="""
A team trains Fast R-CNN to find cracks in photographs of bridges. The convolutions take 0.30 seconds for a photograph, forth and back;
the layers behind RoI pooling 1 millisecond for a region, forth and back. A step of training takes 128 regions. Ann wants to draw them as
R-CNN did, from all photographs at random, "so that they have nothing to do with each other". Ben takes 2 photographs and 64 regions of
each. In use, selective search takes 1.8 seconds a photograph, the convolutions 0.1 seconds, and what comes behind them 0.2 seconds for
all 2,000 proposals. Carla wants to buy a graphics card that is ten times as fast; selective search does not run on it.

How long does a step take Ann, and how long Ben? What does Ann gain, if anything? SPP-net drew its regions as Ann does: what did that
keep it from? How much faster does Carla's card make the whole? **Five sentences.**
""".strip(),
    good_answer="""
A good answer counts passes, not regions, and looks for the slowest part before it buys anything.

- **Ann**: nearly every region comes from another photograph, and each needs a pass of its own: 128 × 0.30 + 128 × 0.001 = 38.5 seconds a
  step.
- **Ben**: 2 × 0.30 + 128 × 0.001 = 0.73 seconds, 53 times as fast. The 64 regions of a photograph share its pass, on the way forth and on
  the way back, because their gradients are added up on one map.
- **What Ann gains**: regions that are independent, so a step's gradient is less one-sided. The paper feared that, too, and found in
  practice that it is no problem: Fast R-CNN got along with fewer steps than R-CNN. In Ann's time for one step Ben makes 53.
- **SPP-net**: training its convolutions. A region's features depend on much of its photograph, so a gradient for the convolutions would
  cost a whole pass for each region. So its authors stopped the gradient at the pooling. RoI pooling is a pyramid of one level, and its
  gradient is no harder; the new thing is that regions of one photograph share the way back.
- **Carla**: 2.1 seconds become 1.8 + 0.01 + 0.02 = 1.83. The card makes the network ten times as fast and the whole 1.15 times, because
  86 % of the time is the proposals. First find proposals that come from the network itself.

"Ten times as fast" for Carla, or "64 times" for Ben without a sum, is half an answer.
""".strip(),
)
