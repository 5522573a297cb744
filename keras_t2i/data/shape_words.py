"""Other words for shapes: those that training may use, and those kept to test what a text encoder brings.

The words kept for tests are whole words of the packaged encoder's vocabulary, so that they test what it has learned and
not how it spells. Where a dictionary (WordNet 3.1) names synonyms or kinds of a word that would do, they are taken from
it; elsewhere they are ordinary phrases. Some are far from their word to an encoder that has seldom seen them (lime,
rose, wedge), and stay in the list.
"""

from __future__ import annotations

__all__ = ["HELD_OUT_SYNONYMS", "SHAPE_PARAPHRASES", "SHAPE_SYNONYMS"]

SHAPE_SYNONYMS: dict[str, tuple[str, ...]] = {
    # Shapes.
    "circle": ("ball", "sphere", "globe", "bubble", "round spot"),
    "square": ("block", "cube", "quadrangle", "four-sided shape"),
    "triangle": ("pyramid", "cone", "delta", "three-sided shape"),
    "star": ("pentagram", "starburst", "starfish", "sparkle"),
    "heart": ("valentine", "sweetheart", "cardioid", "heart shape"),
    "diamond": ("gem", "kite", "jewel", "crystal"),
    "cross": ("crucifix", "cross mark", "medical cross", "swiss cross"),
    "ring": ("loop", "donut", "doughnut", "circlet"),
    # Colors.
    "red": ("scarlet", "cherry", "cardinal", "vermilion"),
    "orange": ("pumpkin", "carrot", "apricot", "mandarin"),
    "yellow": ("canary", "mustard", "saffron", "bright yellow"),
    "green": ("jade", "leafy", "grassy", "bright green"),
    "cyan": ("turquoise", "aquamarine", "bright cyan"),
    "blue": ("sapphire", "cerulean", "ultramarine", "royal blue"),
    "purple": ("lavender", "plum", "mauve", "grape"),
    "pink": ("magenta", "fuchsia", "blush", "hot pink"),
    # Backgrounds.
    "white": ("snowy", "milky", "alabaster", "pure white"),
    "black": ("ebony", "onyx", "inky", "pitch black"),
    "gray": ("slate", "smoky", "steel", "ashen"),
    "navy": ("marine", "deep blue", "navy blue"),
    "brown": ("coffee", "walnut", "mocha", "mahogany"),
    # Positions.
    "in the center": ("in the middle", "right in the middle", "at the center", "centered"),
    "at the top left": ("in the top left corner", "top left", "towards the top on the left", "up in the left corner"),
    "at the top right": (
        "in the top right corner",
        "top right",
        "towards the top on the right",
        "up in the right corner",
    ),
    "at the bottom left": (
        "in the bottom left corner",
        "bottom left",
        "towards the bottom on the left",
        "down in the left corner",
    ),
    "at the bottom right": (
        "in the bottom right corner",
        "bottom right",
        "towards the bottom on the right",
        "down in the right corner",
    ),
    # Sizes.
    "small": ("mini", "miniature", "compact", "pocket-sized"),
    "large": ("huge", "enormous", "massive", "oversized"),
}
"""For each word of `SHAPE_ATTRIBUTES`, others that captions for training may have in its place."""

HELD_OUT_SYNONYMS: dict[str, tuple[str, ...]] = {
    # Shapes.
    "circle": ("disk", "disc", "dot"),
    "square": ("box", "tile"),
    "triangle": ("wedge", "triangular shape"),
    "star": ("asterisk", "five-pointed star"),
    "heart": ("love heart", "love symbol"),
    "diamond": ("rhombus", "lozenge"),
    "cross": ("plus", "plus sign"),
    "ring": ("hoop", "annulus"),
    # Colors.
    "red": ("crimson", "ruby"),
    "orange": ("tangerine", "reddish orange"),
    "yellow": ("golden", "lemon"),
    "green": ("emerald", "lime"),
    "cyan": ("teal", "aqua"),
    "blue": ("azure", "cobalt"),
    "purple": ("violet", "lilac"),
    "pink": ("rose", "salmon"),
    # Backgrounds.
    "white": ("ivory", "chalk"),
    "black": ("jet black", "coal black"),
    "gray": ("grey", "silver"),
    "navy": ("dark blue", "midnight blue"),
    "brown": ("chestnut", "chocolate"),
    # Positions.
    "in the center": ("in the centre", "in the central area"),
    "at the top left": ("at the upper left", "high on the left"),
    "at the top right": ("at the upper right", "high on the right"),
    "at the bottom left": ("at the lower left", "low on the left"),
    "at the bottom right": ("at the lower right", "low on the right"),
    # Sizes.
    "small": ("tiny", "little"),
    "large": ("giant", "big"),
}
"""For each word of `SHAPE_ATTRIBUTES`, others with a word in them that no caption for training ever has."""

SHAPE_PARAPHRASES = (
    "a {background} background with a {size} {color} {shape} {position}",
    "{position} there is a {size} {color} {shape} on a {background} backdrop",
    "the {shape} is {color} and {size}, {position}, against a {background} background",
    "a {size} {shape} in {color} {position}, on {background}",
    "an image of a {shape} {position}: {size}, {color}, on a {background} canvas",
    "{color} {shape} on {background}, {size}, {position}",
    "draw a {size} {color} {shape} {position} on a {background} surface",
    "the background is {background}, and {position} one sees a {size} {color} {shape}",
)
"""Further phrasings for training, beside those of `shape_captions`."""
