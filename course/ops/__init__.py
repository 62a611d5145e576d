"""Stateless tensor functions, each beside the generator of its steps: `x(...)` is the answer, `x_steps(...)` how it comes about.

`step` what one step is · `pooling` down · `unpooling` up without weights · `conv_transpose` up with learned weights ·
`interpolation` between sizes · `windows` patches of a picture · `cross_entropy` the loss of every pixel · `labels` label maps ·
`boxes` their overlap, and moving one onto another · `anchors` boxes to start from · `nms` of boxes that overlap one stays ·
`matching` boxes to objects · `roi` what a box covers of a feature map, as a grid of one size (by `rectangles`, the maximum of many at once,
and `grid_sums`, weighted sums).
Functions of planes take [H, W], [C, H, W] or [N, C, H, W], boxes are [N, 4], x1, y1, x2, y2; all keep device and dtype, except that
areas and overlaps of half-precision boxes are float32.
"""
