"""Moved."""

raise ImportError("ebm_ocr.criteria is now ebm_ocr.losses")
