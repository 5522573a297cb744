"""Captioned images as `tf.data`: from a folder, from TensorFlow Datasets, or rendered."""

from keras_t2i.data.caption_variants import synonyms, templates, word_dropout
from keras_t2i.data.check import FolderReport, check_folder
from keras_t2i.data.faces import FACE_ATTRIBUTES, face_captions, faces, render_faces
from keras_t2i.data.folder import from_folder
from keras_t2i.data.pipeline import CaptionedImages, Split
from keras_t2i.data.rows import SkippedRow
from keras_t2i.data.shape_words import HELD_OUT_SYNONYMS, SHAPE_SYNONYMS
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
    "SHAPE_ATTRIBUTES",
    "SHAPE_SYNONYMS",
    "CaptionedImages",
    "FolderReport",
    "SkippedRow",
    "Split",
    "check_folder",
    "face_captions",
    "faces",
    "from_folder",
    "from_tfds",
    "render_faces",
    "render_shapes",
    "shape_captions",
    "shape_synonym_captions",
    "shapes",
    "synonyms",
    "templates",
    "word_dropout",
]
