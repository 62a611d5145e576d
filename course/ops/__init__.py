"""Stateless tensor functions, each beside the generator of its steps: `x(...)` is the answer, `x_steps(...)` how it comes about.

`step` what one step is · `pooling` down · `unpooling` up without weights · `conv_transpose` up with learned weights ·
`interpolation` between sizes · `windows` patches of a picture · `cross_entropy` the loss of every pixel · `labels` label maps.
Functions of planes take [H, W], [C, H, W] or [N, C, H, W]; all keep device and dtype.
"""
