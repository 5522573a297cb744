"""Reports of chest phantoms: what is in the picture, in 40 to 80 words of which most say what is normal."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["PHANTOM_ATTRIBUTES", "phantom_reports"]

PHANTOM_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "number": ("one", "two", "three"),
    "size": ("12 mm", "20 mm", "32 mm"),
    "opacity": ("calcified", "ground-glass"),
    "side": ("right", "left"),
    "zone": ("upper", "middle", "lower"),
    "effusion": ("no effusion", "right effusion", "left effusion"),
    "heart": ("normal", "enlarged"),
    "device": ("no pacemaker", "pacemaker"),
}
"""The eight attributes of a chest phantom, in the order of its labels, and the words each takes."""

# Each report says the same in its own words and order; what it says of normal things is the same in all of its kind.
_REPORTS: tuple[tuple[str, dict[str, tuple[str, ...]]], ...] = (
    (
        "Frontal radiograph of the chest. The heart is {heart}. {device} {effusion} The mediastinum is not "
        "widened, and the hila are unremarkable. In the {side} {zone} zone {number} of {size} {verb} seen, "
        "{opacity}. The remaining lung is clear, without a pneumothorax, and the bones are intact.",
        {
            "heart": ("of normal size", "enlarged"),
            "device": ("There is no pacemaker.", "A pacemaker lies below the left collarbone."),
            "effusion": ("There is no pleural effusion.", "A pleural effusion is on the {}."),
            "opacity": ("calcified", "of ground-glass opacity"),
        },
    ),
    (
        "The study is of good quality and fully inspired. Bones and soft tissues show nothing unusual. There is "
        "no pneumothorax. {number}, {opacity} and {size} across, {verb} projected over the {zone} zone of the "
        "{side} lung. {effusion} The cardiac silhouette is {heart}. {device}",
        {
            "heart": ("normal", "enlarged"),
            "device": ("No pacemaker is present.", "A pacemaker is in place."),
            "effusion": ("No effusion is seen on either side.", "Fluid blunts the {} costophrenic angle."),
            "opacity": ("calcified", "ground-glass"),
        },
    ),
    (
        "Impression: {number} in the {side} {zone} zone, {size}, {opacity}. Findings: the trachea is in the "
        "midline and the aorta of ordinary contour. {effusion} {device} The heart {heart}. Ribs and spine are "
        "without fracture, and the soft tissues of the chest wall appear ordinary.",
        {
            "heart": ("is not enlarged", "is enlarged"),
            "device": ("No implanted devices.", "A pacemaker has been implanted."),
            "effusion": ("The pleural spaces are free of fluid.", "There is fluid in the {} pleural space."),
            "opacity": ("calcified", "of ground-glass density"),
        },
    ),
    (
        "Compared with no earlier study. Lines and devices: {device}. Heart and mediastinum: the heart size is "
        "{heart}, the mediastinal contours are smooth. Pleura: {effusion}. Lungs: {number} {verb} present in the "
        "{side} lung, {zone} zone, measuring {size}, and {verb} {opacity}; no consolidation otherwise. Bones: no "
        "acute abnormality.",
        {
            "heart": ("normal", "enlarged"),
            "device": ("none, no pacemaker", "a pacemaker"),
            "effusion": ("no effusion", "an effusion on the {}"),
            "opacity": ("calcified", "of ground-glass opacity"),
        },
    ),
    (
        "Upright view of the chest at full inspiration, both shoulders included. {effusion} The heart shadow is "
        "{heart} and the hila are not prominent. {device} No consolidation, no pneumothorax, no free air below "
        "the diaphragm. Of note {verb} {number}, {opacity}, with a diameter of {size}, found in the {zone} zone "
        "on the {side}.",
        {
            "heart": ("normal in width", "enlarged"),
            "device": ("A pacemaker is not seen.", "A pacemaker is seen."),
            "effusion": ("Both costophrenic angles are sharp.", "The {} costophrenic angle is filled by an effusion."),
            "opacity": ("calcified", "ground-glass in density"),
        },
    ),
    (
        "Bony thorax and soft tissues are unremarkable; the diaphragm is well defined. The cardiac size is "
        "{heart}. The {side} lung has {number} in its {zone} zone, each of {size} and {opacity}, while the other "
        "lung is clear. {effusion} {device} There is no sign of congestion, and follow-up is left to the "
        "referring doctor.",
        {
            "heart": ("within normal limits", "increased: enlarged"),
            "device": ("No pacemaker or lead is visible.", "A pacemaker and its lead are visible."),
            "effusion": ("Pleural effusion is absent.", "A {} pleural effusion is present."),
            "opacity": ("calcified", "ground-glass"),
        },
    ),
)


def phantom_reports(labels: np.ndarray) -> list[str]:
    """Returns every report of one chest phantom, each of 40 to 80 words.

    Args:
        labels: The eight attributes as positions in `PHANTOM_ATTRIBUTES`, integers, shape `(8,)`.
    """
    words = {name: values[int(label)] for (name, values), label in zip(PHANTOM_ATTRIBUTES.items(), labels, strict=True)}
    many = words["number"] != "one"
    words |= {"number": f"{words['number']} nodule{'s' if many else ''}", "verb": "are" if many else "is"}
    return [_report(text, phrases, labels, words) for text, phrases in _REPORTS]


def _report(text: str, phrases: dict[str, tuple[str, ...]], labels: np.ndarray, words: dict[str, str]) -> str:
    said = dict(words)
    for name, (without, with_it) in phrases.items():
        column = list(PHANTOM_ATTRIBUTES).index(name)
        said[name] = (with_it if labels[column] else without).format(words[name].partition(" ")[0])
    return re.sub(r"(?<=\. )[a-z]", lambda letter: letter[0].upper(), text.format(**said))
