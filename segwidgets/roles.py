"""The colours and marks of the course: one meaning, one look, in every widget, still and plot.

The hues are Okabe and Ito's set for colour-blind readers (2008, "Color Universal Design"). No meaning rests on colour
alone: each role also has a line style, and the player names it in a caption.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """How one meaning is drawn. Colours are hex; `width` is in pixels at normal size. Most of the hues are too pale for text
    on white: `ink` is the same hue, darkened until it reaches 4.5:1."""

    light: str
    dark: str
    ink: str
    line: str = "solid"
    width: int = 2
    fill: float = 0.12  # opacity of the tint inside the outline


# Dark variants are the same hues, lightened until they reach 4.5:1 against a near-black page.
ROLES: dict[str, Role] = {
    "read": Role("#0072B2", "#5AB4F0", "#0072B2", fill=0.10),
    "write": Role("#E69F00", "#F5B335", "#946200", fill=0.18, width=3),
    "chosen": Role("#D55E00", "#FF8A3D", "#B85000", width=4, fill=0.16),
    "truth": Role("#009E73", "#2CC79A", "#007A59"),
    "candidate": Role("#56B4E9", "#7CC7F2", "#1B7299", width=1, fill=0.0),
    "suppressed": Role("#8A8F98", "#9AA0AA", "#646A74", line="dashed", width=1, fill=0.0),
    "ignored": Role("#8A8F98", "#9AA0AA", "#646A74", line="hatched", width=1, fill=0.0),
    "wrong": Role("#D55E00", "#FF8A3D", "#B85000", line="dashed", width=3, fill=0.22),
}


def css_variables() -> str:
    """The roles as CSS custom properties, so that the stylesheet holds no colour a second time."""
    light = "".join(f"--segw-{name}:{role.light};--segw-{name}-ink:{role.ink};" for name, role in ROLES.items())
    dark = "".join(f"--segw-{name}:{role.dark};--segw-{name}-ink:{role.dark};" for name, role in ROLES.items())
    marks = "".join(
        f":is(.segw-mark,.segw-box)[data-role={name}]{{border:{_border(role.line)} var(--segw-{name});"
        # No thicker than a part of a cell: in a heat map it would cover what it marks. In full screen twice as bold.
        f"--segw-thick:min({role.width}px * var(--segw-bold), max(1.5px, 0.17 * var(--segw-side)));border-width:var(--segw-thick);"
        f"background:color-mix(in srgb, var(--segw-{name}) {role.fill:.0%}, transparent)}}"
        for name, role in ROLES.items()
        if role.line != "hatched"
    )
    words = "".join(f".segw [data-role-text={name}]{{color:var(--segw-{name}-ink)}}" for name in ROLES)
    return f".segw{{{light}}}.segw[data-theme=dark]{{{dark}}}{marks}{words}"


def _border(line: str) -> str:
    return "dashed" if line == "dashed" else "solid"
