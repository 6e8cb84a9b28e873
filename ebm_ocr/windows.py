"""Moved."""

raise ImportError("ebm_ocr.windows is now ebm_ocr.geometry")
