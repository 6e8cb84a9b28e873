"""Moved."""

raise ImportError("ebm_ocr.words is now ebm_ocr.rendering and ebm_ocr.datasets")
