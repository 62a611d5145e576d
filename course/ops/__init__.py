"""Stateless tensor functions, each beside the generator of its steps: `x(...)` is the answer, `x_steps(...)` how it comes about.

`step` what one step is · `pooling` down · `unpooling` up without weights · `conv_transpose` up with learned weights ·
`interpolation` between sizes. Every function takes [H, W], [C, H, W] or [N, C, H, W] and keeps device and dtype.
"""
