"""Captioned images as `tf.data`: from a folder, from TensorFlow Datasets, or rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.lazy import lazy
from keras_t2i.data.names import RENDERED, Rendered

if TYPE_CHECKING:
    from keras_t2i.data.caption_variants import synonyms, templates, word_dropout
    from keras_t2i.data.cartoon_faces import FACE_ATTRIBUTES, face_captions, faces, render_faces
    from keras_t2i.data.check import FolderReport, check_folder
    from keras_t2i.data.chest_phantoms import phantoms, render_phantoms
    from keras_t2i.data.chest_reports import PHANTOM_ATTRIBUTES, phantom_reports
    from keras_t2i.data.folder import from_folder
    from keras_t2i.data.inventory import Inventory
    from keras_t2i.data.packed import PackedImages
    from keras_t2i.data.packing import pack, pack_source
    from keras_t2i.data.pipeline import CaptionedImages
    from keras_t2i.data.reading_packed import from_packed
    from keras_t2i.data.rows import SkippedRow
    from keras_t2i.data.shape_words import HELD_OUT_SYNONYMS, SHAPE_SYNONYMS
    from keras_t2i.data.split import Split
    from keras_t2i.data.synthetic import (
        ATTRIBUTES,
        SHAPE_ATTRIBUTES,
        render_shapes,
        shape_captions,
        shape_synonym_captions,
        shapes,
    )
    from keras_t2i.data.tfds import from_tfds

__all__ = [
    "ATTRIBUTES",
    "FACE_ATTRIBUTES",
    "HELD_OUT_SYNONYMS",
    "PHANTOM_ATTRIBUTES",
    "RENDERED",
    "SHAPE_ATTRIBUTES",
    "SHAPE_SYNONYMS",
    "CaptionedImages",
    "FolderReport",
    "Inventory",
    "PackedImages",
    "Rendered",
    "SkippedRow",
    "Split",
    "check_folder",
    "face_captions",
    "faces",
    "from_folder",
    "from_packed",
    "from_tfds",
    "pack",
    "pack_source",
    "phantom_reports",
    "phantoms",
    "render_faces",
    "render_phantoms",
    "render_shapes",
    "shape_captions",
    "shape_synonym_captions",
    "shapes",
    "synonyms",
    "templates",
    "word_dropout",
]

__getattr__ = lazy(
    __name__,
    {
        "caption_variants": ["synonyms", "templates", "word_dropout"],
        "check": ["FolderReport", "check_folder"],
        "chest_phantoms": ["phantoms", "render_phantoms"],
        "cartoon_faces": ["FACE_ATTRIBUTES", "face_captions", "faces", "render_faces"],
        "folder": ["from_folder"],
        "inventory": ["Inventory"],
        "reading_packed": ["from_packed"],
        "packed": ["PackedImages"],
        "packing": ["pack", "pack_source"],
        "chest_reports": ["PHANTOM_ATTRIBUTES", "phantom_reports"],
        "pipeline": ["CaptionedImages"],
        "rows": ["SkippedRow"],
        "shape_words": ["HELD_OUT_SYNONYMS", "SHAPE_SYNONYMS"],
        "synthetic": [
            "ATTRIBUTES",
            "SHAPE_ATTRIBUTES",
            "render_shapes",
            "shape_captions",
            "shape_synonym_captions",
            "shapes",
        ],
        "split": ["Split"],
        "tfds": ["from_tfds"],
    },
)
