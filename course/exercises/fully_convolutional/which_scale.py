"""A question in words: where the lost objects are lost."""

from course.exercises.exercise import Question

WHICH_SCALE = Question(
    name="which_scale",
    prompt="""
A company segments street scenes of 1024 × 2048 pixels with an FCN-32s. Road, sky and buildings are fine. Poles, which are 6 pixels wide,
are missing altogether, and trucks that fill a third of the picture come out as patches of *truck*, *bus* and *building*. Name the cause of
each failure. Then choose, for each, between skips (16s, 8s, 4s), several scales and a deeper network. Say what your choice costs, and
what you would measure to know that it worked. **Five sentences.**
""".strip(),
    good_answer="""
A good answer gives the two failures two causes, and each cause its own remedy.

- **Poles: resolution.** A pole is a fifth of a cell wide at stride 32, so its cell is mostly something else. Skips bring scores of finer
  layers: at stride 4 the pole is a cell and a half wide. They cost little, a score layer each: the fine features were computed anyway.
- **Trucks: context.** A cell sees less than the truck, and neighbouring cells decide by themselves. Several scales help: in the picture at
  half the size the truck fits the receptive field. They cost a second pass, a quarter of the first. A deeper network, or one more stage,
  sees further too, and has to be trained.
- **Not the other way round.** Finer skips do nothing for the truck. The half-size picture makes the poles thinner still, so the full
  size has to stay among the scales.
- **The measurement.** The IoU of *pole* and of *truck*, not the mean over classes nor pixel accuracy, in which poles hardly count; for
  poles also the error in a narrow band around their outlines; on streets that were not trained on; and the time a picture takes.

"Use a better network", or one remedy for both failures, is half an answer.
""".strip(),
)
